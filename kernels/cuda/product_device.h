// Products on a CUDA device: the launches of a plan, and for many rows of activations decoded panels of the matrix with
// cuBLASLt, where the toolkit has it. For builds with CUDA only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "format/status.h"
#include "kernels/cuda/product_plan.h"

namespace ingot::cuda {

// What PlanProduct asks about the current device. kUnsupported: CUDA's own reason.
Result<DeviceLimits> LimitsOfDevice(int index);

// Enqueues Y = X W^T on the current device. `stream` is a cudaStream_t; null: the default one. Planes, x, y and scratch
// must live until it is done. Thread-safe.
Status MultiplyOnDevice(const MatrixView& matrix, const ProductRequest& request, const DeviceLimits& limits,
                        void* stream);

// Enqueues the decoding of elements [first, first + count) of the view to `out`, as f16 or bf16.
using PanelDecoder = std::function<Status(uint64_t first, uint64_t count, DType type, void* out)>;

// Products by cuBLASLt: panels of rows are decoded to the type of x, outliers, t and permutation included, and
// multiplied with sums in f32. Beside e, weights are rounded to the type of x: 2^-11 M (f16), 2^-8 M (bf16); they must
// be finite there. Owns a handle of the library; for one thread at a time.
class LibraryProducts {
 public:
  // kUnsupported: built without cuBLASLt, or it cannot be used.
  static Result<LibraryProducts> Make();

  // Rows from which on this is worth more than MultiplyOnDevice, which reads all codes again for every 32 of them.
  static constexpr uint64_t kRows = 128;

  // `panel`: memory of `panel_bytes` for decoded rows, at least one, aligned to 256; request.scratch is not used.
  Status Multiply(const MatrixView& matrix, const ProductRequest& request, const PanelDecoder& decode, void* panel,
                  uint64_t panel_bytes, void* stream) const;

 private:
  std::shared_ptr<void> handle_;
};

}  // namespace ingot::cuda

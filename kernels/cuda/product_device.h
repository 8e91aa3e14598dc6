// Products on a CUDA device: the launches of a plan, and for many rows of activations decoded panels of the matrix with
// cuBLASLt, where the toolkit has it. Errors and the current device: as in kernels/cuda/device.h.
#pragma once

#include <cstdint>
#include <memory>

#include "format/status.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/product_plan.h"

namespace ingot::cuda {

// Enqueues Y = X W^T; the plan is PlanProduct's for this device, and so is the scratch that it needs. kUsage: a slice
// outside the view, x that is neither F16 nor BF16. `stream` is a cudaStream_t; null: the device's default one. Planes,
// x, y and scratch must live until it is done. Thread-safe.
Status MultiplyOnDevice(const Device& device, const MatrixView& matrix, const ProductRequest& request, void* stream);

// Products by cuBLASLt: panels of rows are decoded to the type of x, outliers, t and permutation included, and
// multiplied with sums in f32. Beside e, weights are rounded to the type of x: 2^-11 M (f16), 2^-8 M (bf16); they must
// be finite there. Owns a handle of the library; for one thread at a time.
class LibraryProducts {
 public:
  // kUnsupported: built without cuBLASLt, or it cannot be used.
  static Result<LibraryProducts> Make(const Device& device);

  // Rows from which on this is worth more than MultiplyOnDevice, which reads all codes again for every 32 of them.
  static constexpr uint64_t kRows = 128;

  // `panel`: memory of `panel_bytes` for decoded rows, at least one, aligned to 256; request.scratch is not used.
  Status Multiply(const MatrixView& matrix, const ProductRequest& request, void* panel, uint64_t panel_bytes,
                  void* stream) const;

 private:
  Device device_;
  std::shared_ptr<void> handle_;
};

}  // namespace ingot::cuda

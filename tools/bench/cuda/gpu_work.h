// What the sections for GPUs have in common: memory, yardsticks, and work whose failures are kept.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "format/bytes.h"
#include "kernels/cuda/matrix_view.h"
#include "kernels/cuda/product_plan.h"
#include "tools/bench/cuda/gpu.h"
#include "tools/bench/synthetic.h"

namespace ingot::bench {

// A GPU with the memory that yardsticks take, kept from one figure to the next. Immutable once made.
class GpuBench {
 public:
  // `copied`: bytes of the copy yardstick, a multiple of 4096, more than the GPU's caches hold.
  static Result<std::shared_ptr<const GpuBench>> Make(std::shared_ptr<Gpu> gpu, uint64_t copied);

  Gpu& gpu() const { return *gpu_; }
  Device& device() const { return *gpu_->device(); }

  Result<std::shared_ptr<const DeviceMemory>> Allocate(uint64_t size) const;
  // A copy of bytes of the host, which waits.
  Status CopyIn(std::byte* to, ByteSpan from) const;

  // Work that is enqueued, by the device's clock. The first failure is kept for Wait.
  Work Enqueued(double amount, std::function<Status()> enqueue) const;
  // The first failure of Enqueued, or of what the device did since.
  Status Wait() const;

  // Each byte counts twice, as it is read and written.
  Work Copy() const;
  Work CopyByKernel() const;
  // Operations of tensor cores.
  Work MultiplyTiles() const;

 private:
  explicit GpuBench(std::shared_ptr<Gpu> gpu) : gpu_(std::move(gpu)) {}

  const std::shared_ptr<Gpu> gpu_;
  std::shared_ptr<const DeviceMemory> from_, to_;
  uint64_t copied_ = 0;
  const std::shared_ptr<Status> failed_ = std::make_shared<Status>();
};
using GpuBenchPtr = std::shared_ptr<const GpuBench>;

// A made-up matrix on a GPU. Movable.
class GpuMatrix {
 public:
  static Result<GpuMatrix> Make(const GpuBench& bench, const MatrixSpec& spec);
  const cuda::MatrixView& view() const { return view_; }
  uint64_t bytes() const { return memory_->size(); }  // of all planes

 private:
  cuda::MatrixView view_;
  std::shared_ptr<const DeviceMemory> memory_;
};

// Activations of `rows` rows between -1 and 1, every 200th column an outlier by LLM.int8's threshold, as f16 or bf16,
// and room for results.
class GpuActivations {
 public:
  static Result<GpuActivations> Make(const GpuBench& bench, DType type, uint64_t rows, uint64_t columns,
                                     uint64_t results);
  // A product with all of them, of a matrix or tensor of so many rows and columns; without scratch.
  cuda::ProductRequest Request(uint64_t rows, uint64_t columns, cuda::ProductPrecision precision) const;

 private:
  DType type_ = DType::kF16;
  uint64_t rows_ = 0;
  std::shared_ptr<const DeviceMemory> x_, y_;
};

// How products are measured: the type of activations and how they are rounded.
struct ProductWay {
  const char* name;
  DType type;
  cuda::ProductPrecision precision;
};
// "f16", "bf16", "int8", "llm.int8".
std::span<const ProductWay> ProductWays();

// A product's figure: up to 16 rows in bytes beside the copy, more in operations beside the tensor cores'. `what` is
// the matrix's name; `multiply` enqueues.
Status AddProduct(Bench& into, const GpuBench& bench, const std::string& what, const ProductWay& way, uint64_t x_rows,
                  uint64_t plane_bytes, uint64_t rows, uint64_t columns, std::function<Status()> multiply);

}  // namespace ingot::bench

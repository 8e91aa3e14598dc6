// Decoding and products of made-up weights on a GPU.
#include <fmt/format.h>

#include "tools/bench/cuda/sections.h"
#include "tools/bench/sections.h"

namespace ingot::bench {
namespace {

using MemoryPtr = std::shared_ptr<const DeviceMemory>;

Task DecodeOne(const GpuBenchPtr& gpu, const MatrixSpec& spec, const std::shared_ptr<MemoryPtr>& out) {
  return [=](Bench& into) -> Status {
    const uint64_t count = spec.rows * spec.columns;
    if (*out == nullptr) {
      auto memory = gpu->Allocate(2 * count);
      if (!memory) return Propagate(memory);
      *out = *memory;
    }
    const auto w = GpuMatrix::Make(*gpu, spec);
    if (!w) return Propagate(w);
    const double bytes = static_cast<double>(w->bytes()) + 2.0 * static_cast<double>(count);
    const auto decode = [&] {
      return gpu->device().Decode(w->view(), {0, spec.rows, 0, spec.columns}, DType::kF16, (*out)->data(), spec.columns,
                                  nullptr);
    };
    into.AddRate({"decode", spec.name(), "f16", "copy on the device, bytes read and written"},
                 gpu->Enqueued(bytes, decode), gpu->Copy());
    return gpu->Wait();
  };
}

// Products of one matrix with several numbers of rows.
Task Products(const GpuBenchPtr& gpu, const MatrixSpec& spec, const std::vector<uint64_t>& batches) {
  return [=](Bench& into) -> Status {
    const auto w = GpuMatrix::Make(*gpu, spec);
    if (!w) return Propagate(w);
    for (uint64_t batch : batches) {
      for (const ProductWay& way : ProductWays()) {
        const auto x = GpuActivations::Make(*gpu, way.type, batch, spec.columns, spec.rows);
        if (!x) return Propagate(x);
        cuda::ProductRequest request = x->Request(spec.rows, spec.columns, way.precision);
        const auto scratch = gpu->Allocate(gpu->device().ScratchBytes(w->view(), request));
        if (!scratch) return Propagate(scratch);
        request.scratch = (*scratch)->data();
        const Status measured = AddProduct(into, *gpu, spec.name(), way, batch, w->bytes(), spec.rows, spec.columns,
                                           [&] { return gpu->device().Multiply(w->view(), request, nullptr); });
        if (!measured) return measured;
      }
    }
    return {};
  };
}

}  // namespace

std::vector<Task> GpuYardstickTasks(const Bench&, const GpuBenchPtr& gpu) {
  return {[gpu](Bench& into) -> Status {
    const char* const copy = "copy on the device by its driver";
    into.AddRate({"yardsticks", "copy on the device", "driver", copy}, gpu->Copy(), gpu->Copy());
    into.AddRate({"yardsticks", "copy on the device", "kernel", copy}, gpu->CopyByKernel(), gpu->Copy());
    const char* const tiles = "f16 multiply-adds of tensor cores (mma.sync)";
    into.AddRate({"yardsticks", tiles, "kernel", "themselves"}, gpu->MultiplyTiles(), gpu->MultiplyTiles(), "GFLOP/s");
    return gpu->Wait();
  }};
}

std::vector<Task> GpuDecodeTasks(const Bench& bench, const GpuBenchPtr& gpu) {
  std::vector<Task> tasks;
  const auto out = std::make_shared<MemoryPtr>();  // of all of them, taken by the first
  for (const MatrixSpec& spec : DecodeSpecs(bench.quick() ? 4 : 32768)) tasks.push_back(DecodeOne(gpu, spec, out));
  return tasks;
}

std::vector<Task> GpuGemvTasks(const Bench& bench, const GpuBenchPtr& gpu) {
  std::vector<Task> tasks;
  for (const MatrixSpec& spec : ProductSpecs(bench.quick() ? 8 << 10 : 256 << 20))
    tasks.push_back(
        Products(gpu, spec, bench.quick() ? std::vector<uint64_t>{1, 2} : std::vector<uint64_t>{1, 2, 4, 8, 16}));
  return tasks;
}

std::vector<Task> GpuGemmTasks(const Bench& bench, const GpuBenchPtr& gpu) {
  std::vector<Task> tasks;
  for (const MatrixSpec& spec : ProductSpecs(bench.quick() ? 8 << 10 : 128 << 20)) {
    if (spec.zero != Zero::kIntegers || (bench.quick() && spec.bits != 4)) continue;
    tasks.push_back(
        Products(gpu, spec, bench.quick() ? std::vector<uint64_t>{17} : std::vector<uint64_t>{32, 64, 128, 512}));
  }
  return tasks;
}

}  // namespace ingot::bench

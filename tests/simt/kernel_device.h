// An emulated device that runs kernels, from their own source under the executor, when their turn on the stream comes.
// An access outside of what is allocated then, a write outside of what the work may write, a race or a deadlock is an
// error that waiting for the stream reports, as a fault on a GPU would be.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/decode_plan.h"
#include "kernels/cuda/product_kernels.h"
#include "tests/simt/executor.h"
#include "tests/support/emulated_device.h"

namespace ingot::test {

class KernelDevice : public EmulatedDevice {
 public:
  using EmulatedDevice::EmulatedDevice;
  using EmulatedDevice::Range;
  ~KernelDevice() override { Stop(); }

  // One launch: `kernel` is called for each thread.
  struct Kernel {
    unsigned grid = 1, block = 32;
    size_t shared_bytes = 0;
    std::function<void()> kernel;
  };
  // Enqueues kernels, one after the other. They may read all memory of the device, and write to `written`; `read` is
  // memory that has to live until they are done.
  Status Launch(const char* what, DeviceStream stream, const std::vector<Range>& written, std::vector<Range> read,
                std::vector<Kernel> kernels) {
    read.insert(read.end(), written.begin(), written.end());
    return Work(what, stream, std::move(read), [this, what, written, list = std::move(kernels)]() -> std::string {
      simt::Memory memory = MemoryOf(written);
      for (const Kernel& one : list) {
        const simt::LaunchOptions options = {
            .grid = one.grid, .block = one.block, .dynamic_shared = one.shared_bytes, .seed = seed_++ % 4};
        const simt::Report report = simt::Launch(memory, options, one.kernel);
        if (!report.error.empty()) return fmt::format("{}: {}", what, report.error);
      }
      return "";
    });
  }

  Status Decode(const cuda::MatrixView& matrix, const MatrixSlice& slice, DType type, std::byte* out, uint64_t stride,
                DeviceStream stream) override {
    if (slice.rows == 0 || slice.columns == 0) return {};
    return Run(cuda::PlanDecode(matrix, slice, type, out, stride, limits_.multiprocessors), matrix,
               {out, ((slice.rows - 1) * stride + slice.columns) * InfoOf(type).size}, stream);
  }
  Status DecodeFlat(const cuda::MatrixView& matrix, uint64_t first, uint64_t count, DType type, std::byte* out,
                    DeviceStream stream) override {
    return Run(cuda::PlanDecode(matrix, first, count, type, out, limits_.multiprocessors), matrix,
               {out, count * InfoOf(type).size}, stream);
  }

  Status Multiply(const cuda::MatrixView& matrix, const cuda::ProductRequest& r, DeviceStream stream) override {
    std::vector<Kernel> kernels;
    for (const cuda::ProductStep& step : cuda::PlanProduct(matrix, r, limits_)) {
      const bool arranges = step.kernel < cuda::ProductKernel::kTiles;
      const cuda::ArrangeFunction arrange = arranges ? cuda::ArrangeFunctionFor(step) : nullptr;
      const cuda::ProductFunction product = arranges ? nullptr : cuda::ProductFunctionFor(step);
      kernels.push_back({step.grid, step.block, step.shared_bytes,
                         [=] { arranges ? arrange(step.arrange) : product(step.product); }});
    }
    const auto extent = [](const void* at, uint64_t rows, uint64_t stride, uint64_t columns, uint64_t size) {
      return Range{static_cast<const std::byte*>(at), rows == 0 ? 0 : ((rows - 1) * stride + columns) * size};
    };
    std::vector<Range> read = PlanesOf(matrix);
    read.push_back(extent(r.x, r.x_rows, r.x_stride, r.slice.columns, InfoOf(r.x_type).size));
    const std::vector<Range> written = {extent(r.y, r.x_rows, r.y_stride, r.slice.rows, sizeof(float)),
                                        {static_cast<const std::byte*>(r.scratch), ScratchBytes(matrix, r)}};
    return Launch("multiply", stream, written, std::move(read), std::move(kernels));
  }
  uint64_t ScratchBytes(const cuda::MatrixView& matrix, const cuda::ProductRequest& request) const override {
    return cuda::ProductScratchBytes(matrix, request, limits_);
  }

 private:
  Status Run(const std::vector<cuda::DecodeStep>& steps, const cuda::MatrixView& matrix, const Range& out,
             DeviceStream stream) {
    std::vector<Kernel> kernels;
    for (const cuda::DecodeStep& step : steps) {
      const cuda::DecodeFunction function = cuda::FunctionFor(step);
      kernels.push_back({step.grid, step.block, step.shared_bytes, [=] { function(step.params); }});
    }
    return Launch("decode", stream, {out}, PlanesOf(matrix), std::move(kernels));
  }

  // Where planes of a view begin, so that freeing them too early is noticed.
  static std::vector<Range> PlanesOf(const cuda::MatrixView& m) {
    std::vector<Range> planes;
    const auto add = [&](const void* at) {
      if (at != nullptr) planes.push_back({static_cast<const std::byte*>(at), 0});
    };
    for (const cuda::NodeView* node : {&m.root, &m.nested[0], &m.nested[1], &m.nested[2]}) {
      for (const void* codes : node->codes) add(codes);
      for (const cuda::OperandView& operand : node->operands) add(operand.array);
      add(node->codebook);
    }
    for (const void* at : {m.t.array, m.stored_column, m.outlier_rows, m.outlier_columns, m.outlier_values}) add(at);
    return planes;
  }

  // All that is allocated now, to be read, but for the ranges that may be written.
  simt::Memory MemoryOf(std::vector<Range> written) {
    std::sort(written.begin(), written.end(), [](const Range& a, const Range& b) { return a.at < b.at; });
    simt::Memory memory;
    for (const auto& [at, size] : DeviceMemoryNow()) {
      const std::byte *from = at, *const end = at + size;
      for (const Range& range : written) {
        if (range.size == 0 || range.at < from || range.at >= end) continue;
        memory.LendReadOnly(from, static_cast<size_t>(range.at - from), "device");
        const uint64_t here = std::min(range.size, static_cast<uint64_t>(end - range.at));
        memory.Lend(const_cast<std::byte*>(range.at), here, "written");
        from = range.at + here;
      }
      if (from < end) memory.LendReadOnly(from, static_cast<size_t>(end - from), "device");
    }
    return memory;
  }

  const cuda::DeviceLimits limits_ = {.multiprocessors = 2, .shared_bytes = 99 << 10, .architecture = 80};
  unsigned seed_ = 0;  // of the executor; the engine's
};

}  // namespace ingot::test

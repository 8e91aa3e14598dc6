// In place of tools/bench/cuda/cuda_gpu.cc: a GPU that is emulated, so that `ingot bench --device cuda` computes each
// of its figures under the executor. They say nothing about speed.
#include <chrono>

#include "tests/simt/kernel_device.h"
#include "tools/bench/cuda/gpu.h"
#include "tools/bench/cuda/kernels.cuh"

namespace ingot::bench {
namespace {

class EmulatedGpu : public Gpu {
 public:
  explicit EmulatedGpu(const std::shared_ptr<test::KernelDevice>& device) : Gpu(device), kernels_(*device) {}

  double Seconds(const std::function<void()>& work) override {
    const auto start = std::chrono::steady_clock::now();
    work();
    (void)device()->WaitForStream(nullptr);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  // There is no copy but the kernel's.
  Status Copy(std::byte* to, const std::byte* from, uint64_t size) override { return CopyByKernel(to, from, size); }
  Status CopyByKernel(std::byte* to, const std::byte* from, uint64_t size) override {
    const CopyParams params{to, from};
    return kernels_.Launch("copy", nullptr, {{to, size}}, {{from, size}},
                           {{static_cast<unsigned>(size / (16 * kYardstickThreads)), kYardstickThreads, 0,
                             [=] { CopyKernel()(params); }}});
  }
  Status MultiplyTiles(uint32_t blocks, uint32_t rounds, float* out) override {
    const TilesParams params{out, rounds};
    const auto* const at = reinterpret_cast<const std::byte*>(out);
    return kernels_.Launch("multiply tiles", nullptr, {{at, blocks * kYardstickThreads * sizeof(float)}}, {},
                           {{blocks, kYardstickThreads, 0, [=] { TilesKernel()(params); }}});
  }

 private:
  test::KernelDevice& kernels_;
};

}  // namespace

Result<std::shared_ptr<Gpu>> OpenGpu(int number) {
  if (number > 0) return Fail(ErrorCode::kUnsupported, "emulated: there is no device {}", number);
  return std::make_shared<EmulatedGpu>(std::make_shared<test::KernelDevice>());
}

}  // namespace ingot::bench

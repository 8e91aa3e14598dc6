#include <new>

#include "kernels/cuda/product_kernels.h"
#include "tests/kernels/cuda/run_step.h"

namespace ingot::test {
namespace {

constexpr std::align_val_t kAlignment{256};

template <class Step, class Kernel>
std::string Run(simt::Memory& memory, const Step& step, unsigned seed, const Kernel& kernel) {
  const simt::LaunchOptions options = {
      .grid = step.grid, .block = step.block, .dynamic_shared = step.shared_bytes, .seed = seed};
  return simt::Launch(memory, options, kernel).error;
}

}  // namespace

std::string RunStep(simt::Memory& memory, const cuda::DecodeStep& step, unsigned seed) {
  const cuda::DecodeFunction function = cuda::FunctionFor(step);
  return Run(memory, step, seed, [&] { function(step.params); });
}

std::string RunStep(simt::Memory& memory, const cuda::ProductStep& step, unsigned seed) {
  if (step.kernel < cuda::ProductKernel::kTiles) {
    const cuda::ArrangeFunction function = cuda::ArrangeFunctionFor(step);
    return Run(memory, step, seed, [&] { function(step.arrange); });
  }
  const cuda::ProductFunction function = cuda::ProductFunctionFor(step);
  return Run(memory, step, seed, [&] { function(step.product); });
}

cuda::DeviceLimits LimitsForTests() { return {.multiprocessors = 1, .shared_bytes = 99 << 10, .architecture = 80}; }

std::byte* AllocateForKernels(size_t size) { return static_cast<std::byte*>(::operator new(size, kAlignment)); }
void FreeForKernels(std::byte* at) { ::operator delete(at, kAlignment); }

}  // namespace ingot::test

#include <cuda_runtime_api.h>

#include <new>
#include <string>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/product_kernels.h"
#include "tests/kernels/cuda/run_step.h"

namespace ingot::test {
namespace {

const cuda::Device& Gpu() {
  static const cuda::Device device = cuda::OpenDevice(0).value();
  return device;
}

template <class Step>
std::string Run(const Step& step, const void* function, void* parameters) {
  const Status started = cuda::Launch(Gpu(), function, {step.grid, step.block, step.shared_bytes}, parameters, nullptr);
  if (!started) return started.error().message;
  const cudaError_t done = cudaDeviceSynchronize();
  return done == cudaSuccess ? "" : cudaGetErrorString(done);
}

}  // namespace

std::string RunStep(simt::Memory&, const cuda::DecodeStep& step, unsigned) {
  cuda::DecodeParams parameters = step.params;
  return Run(step, reinterpret_cast<const void*>(cuda::FunctionFor(step)), &parameters);
}

std::string RunStep(simt::Memory&, const cuda::ProductStep& step, unsigned) {
  if (step.kernel < cuda::ProductKernel::kTiles) {
    cuda::ArrangeParams parameters = step.arrange;
    return Run(step, reinterpret_cast<const void*>(cuda::ArrangeFunctionFor(step)), &parameters);
  }
  cuda::ProductParams parameters = step.product;
  return Run(step, reinterpret_cast<const void*>(cuda::ProductFunctionFor(step)), &parameters);
}

cuda::DeviceLimits LimitsForTests() { return Gpu(); }

std::byte* AllocateForKernels(size_t size) {
  void* at = nullptr;
  if (cudaMallocManaged(&at, size + 1) != cudaSuccess) throw std::bad_alloc();
  return static_cast<std::byte*>(at);
}
void FreeForKernels(std::byte* at) { (void)cudaFree(at); }

}  // namespace ingot::test

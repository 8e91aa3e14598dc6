// NVIDIA's GPUs, by way of the CUDA runtime. In a build without CUDA: the refusal.
#include "runtime/device/cuda_device.h"
#include "tools/bench/cuda/gpu.h"

#ifdef INGOT_HAS_CUDA
#include <cuda_runtime_api.h>

#include "tools/bench/cuda/kernels.h"

namespace ingot::bench {
namespace {

class CudaGpu : public Gpu {
 public:
  using Gpu::Gpu;
  ~CudaGpu() override {
    for (cudaEvent_t event : {start_, stop_}) {
      if (event != nullptr) (void)cudaEventDestroy(event);
    }
  }

  Status Make(int number) {
    if (auto chosen = Check(cudaSetDevice(number), "choosing the device"); !chosen) return chosen;
    for (cudaEvent_t* event : {&start_, &stop_}) {
      if (auto made = Check(cudaEventCreate(event), "making an event"); !made) return made;
    }
    return {};
  }

  // What fails here fails again when the device is waited for.
  double Seconds(const std::function<void()>& work) override {
    float milliseconds = 0;
    (void)cudaEventRecord(start_, nullptr);
    work();
    (void)cudaEventRecord(stop_, nullptr);
    (void)cudaEventSynchronize(stop_);
    (void)cudaEventElapsedTime(&milliseconds, start_, stop_);
    return static_cast<double>(milliseconds) / 1e3;
  }
  Status Copy(std::byte* to, const std::byte* from, uint64_t size) override {
    return Check(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, nullptr), "copying on the device");
  }
  Status CopyByKernel(std::byte* to, const std::byte* from, uint64_t size) override {
    return Start(reinterpret_cast<const void*>(CopyKernel()), static_cast<uint32_t>(size / (16 * kYardstickThreads)),
                 CopyParams{to, from});
  }
  Status MultiplyTiles(uint32_t blocks, uint32_t rounds, float* out) override {
    return Start(reinterpret_cast<const void*>(TilesKernel()), blocks, TilesParams{out, rounds});
  }

 private:
  template <typename Params>
  Status Start(const void* kernel, uint32_t blocks, Params params) const {
    void* arguments[] = {&params};
    return Check(cudaLaunchKernel(kernel, dim3(blocks), dim3(kYardstickThreads), arguments, 0, nullptr),
                 "starting a kernel");
  }
  Status Check(cudaError_t error, const char* what) const {
    if (error == cudaSuccess) return {};
    return Fail(ErrorCode::kDevice, "{}: {}: {}", device()->Name(), what, cudaGetErrorString(error));
  }

  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

}  // namespace

Result<std::shared_ptr<Gpu>> OpenGpu(int number) {
  auto device = OpenCudaDevice(number);
  if (!device) return Propagate(device);
  auto gpu = std::make_shared<CudaGpu>(*device);
  if (auto made = gpu->Make(number); !made) return Propagate(made);
  return gpu;
}

}  // namespace ingot::bench

#else

namespace ingot::bench {

Result<std::shared_ptr<Gpu>> OpenGpu(int number) {
  const auto device = OpenCudaDevice(number);  // says that there is none, and why
  if (!device) return Propagate(device);
  return Fail(ErrorCode::kUnsupported, "cuda:{}: this build is without CUDA (INGOT_CUDA)", number);
}

}  // namespace ingot::bench

#endif

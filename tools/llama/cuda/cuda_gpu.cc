// NVIDIA's GPUs, by way of the CUDA runtime. In a build without CUDA: the refusal.
#include "tools/llama/cuda/gpu.h"
#include "tools/llama/failure.h"

#ifdef INGOT_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace llama {
namespace {

struct ReleaseDevice {
  void operator()(ingot_device* device) const { ingot_device_release(device); }
};
using DevicePtr = std::unique_ptr<ingot_device, ReleaseDevice>;

DevicePtr OpenDevice(uint32_t number, const ingot_device_options& options) {
  ingot_device* device = nullptr;
  Check(ingot_device_open(number, &options, &device));
  return DevicePtr(device);
}

}  // namespace

#ifdef INGOT_HAS_CUDA

namespace {

class CudaGpu : public Gpu {
 public:
  CudaGpu(uint32_t number, uint32_t threads) : number_(static_cast<int>(number)) {
    ingot_device_options options{};
    options.struct_size = sizeof options;
    options.threads = threads;
    SetAllocator(options);
    device_ = OpenDevice(number, options);  // first: it says what is missing
    Must(cudaSetDevice(number_), "choosing the device");
    Must(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  }
  ~CudaGpu() override { (void)cudaStreamDestroy(stream_); }

  ingot_device* device() const override { return device_.get(); }
  void* stream() const override { return stream_; }
  const gpu::Kernels& kernels(gpu::Half half) const override { return gpu::KernelsFor(half); }

  void CopyIn(void* to, const void* from, uint64_t size) override {
    // Of memory that is not pinned, it returns when it has read all of it.
    Must(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, stream_), "copying to the device");
  }
  void CopyOut(void* to, const void* from, uint64_t size) override {
    Must(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToHost, stream_), "copying from the device");
    Wait();
  }

 protected:
  void Start(const Work& work) override {
    if (work.blocks > INT32_MAX) Fail(kInputOutput, "{}: a launch of {} blocks", name(), work.blocks);
    void* arguments[] = {work.params};
    Must(cudaLaunchKernel(work.kernel, dim3(static_cast<unsigned>(work.blocks)), dim3(gpu::kThreads), arguments, 0,
                          stream_),
         "starting a kernel");
  }
  void* TryAllocate(uint64_t size) override {
    void* at = nullptr;
    // Threads of the upload have another device current.
    const bool allocated = cudaSetDevice(number_) == cudaSuccess && cudaMalloc(&at, size) == cudaSuccess;
    if (!allocated) (void)cudaGetLastError();
    return allocated ? at : nullptr;
  }
  void Release(void* at, uint64_t) override { (void)cudaFree(at); }

 private:
  void Must(cudaError_t error, const char* what) const {
    if (error == cudaSuccess) return;
    (void)cudaGetLastError();
    Fail(kInputOutput, "cuda:{}: {}: {} ({})", number_, what, cudaGetErrorString(error), cudaGetErrorName(error));
  }

  const int number_;
  DevicePtr device_;
  cudaStream_t stream_ = nullptr;
};

}  // namespace

std::unique_ptr<Gpu> OpenGpu(uint32_t number, uint32_t threads) { return std::make_unique<CudaGpu>(number, threads); }

#else

std::unique_ptr<Gpu> OpenGpu(uint32_t number, uint32_t threads) {
  ingot_device_options options{};
  options.struct_size = sizeof options;
  options.threads = threads;
  OpenDevice(number, options);  // says why not, unless only this program is without CUDA
  Fail(kBadInput, "cuda:{}: this build of ingot-llama is without CUDA (INGOT_CUDA)", number);
}

#endif

}  // namespace llama

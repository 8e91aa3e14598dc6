#include "runtime/device/cuda_device.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/product_device.h"

#ifdef INGOT_HAS_CUDA

#include <cuda_runtime_api.h>

namespace ingot {
namespace {

// The last error is taken back, so that the process does not find it where it looks for its own.
tl::unexpected<Error> Failed(const std::string& device, const char* what, cudaError_t error) {
  (void)cudaGetLastError();
  return Fail(error == cudaErrorMemoryAllocation ? ErrorCode::kMemory : ErrorCode::kDevice, "{}: {}: {} ({})", device,
              what, cudaGetErrorString(error), cudaGetErrorName(error));
}

// Makes a device current for a scope.
class Current {
 public:
  explicit Current(int number) {
    if (cudaGetDevice(&before_) != cudaSuccess) before_ = -1;
    error_ = before_ == number ? cudaSuccess : cudaSetDevice(number);
    changed_ = error_ == cudaSuccess && before_ != number && before_ >= 0;
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  ~Current() {
    if (changed_) (void)cudaSetDevice(before_);
  }
  cudaError_t error() const { return error_; }

 private:
  int before_ = -1;
  bool changed_ = false;
  cudaError_t error_;
};

cudaStream_t StreamOf(DeviceStream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t EventOf(DeviceEvent event) { return static_cast<cudaEvent_t>(event); }

class CudaDevice : public Device {
 public:
  CudaDevice(const cuda::Device& found, const cuda::DeviceLimits& limits)
      : number_(found.index),
        found_(found),
        info_{static_cast<uint32_t>(found.index), found.name, static_cast<uint32_t>(found.architecture),
              found.multiprocessors},
        limits_(limits),
        name_(fmt::format("cuda:{} ({})", found.index, found.name)) {}

  const DeviceInfo& info() const override { return info_; }
  std::string Name() const override { return name_; }

  Result<Memory> MemoryInfo() override {
    size_t free = 0, total = 0;
    const auto ask = [&] { return cudaMemGetInfo(&free, &total); };
    if (auto asked = Call("cannot tell how much memory is free", ask); !asked) return Propagate(asked);
    return Memory{free, total};
  }

  Result<std::byte*> Allocate(uint64_t size) override {
    void* at = nullptr;
    auto allocated = Call("no device memory", [&] { return cudaMalloc(&at, size); });
    if (allocated) return static_cast<std::byte*>(at);
    const auto memory = MemoryInfo();
    return Fail(allocated.error().code, "{}: {} bytes asked for, {} of {} are free", allocated.error().message, size,
                memory ? memory->free : 0, memory ? memory->total : 0);
  }
  void Free(std::byte* at, uint64_t) override {
    (void)Call("", [&] { return cudaFree(at); });
  }

  Result<std::byte*> AllocatePinned(uint64_t size) override {
    void* at = nullptr;
    const auto allocate = [&] { return cudaHostAlloc(&at, size, cudaHostAllocPortable); };
    auto allocated = Call("no pinned memory", allocate);
    if (!allocated) return Fail(allocated.error().code, "{}: {} bytes asked for", allocated.error().message, size);
    return static_cast<std::byte*>(at);
  }
  void FreePinned(std::byte* at, uint64_t) override {
    (void)Call("", [&] { return cudaFreeHost(at); });
  }

  Result<DeviceStream> MakeStream() override {
    cudaStream_t stream = nullptr;
    const auto make = [&] { return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking); };
    if (auto made = Call("no stream", make); !made) return Propagate(made);
    return stream;
  }
  void FreeStream(DeviceStream stream) override {
    (void)Call("", [&] { return cudaStreamDestroy(StreamOf(stream)); });
  }

  Result<DeviceEvent> MakeEvent() override {
    cudaEvent_t event = nullptr;
    // Who waits, sleeps: the other threads have hashing to do.
    const auto make = [&] { return cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync); };
    if (auto made = Call("no event", make); !made) return Propagate(made);
    return event;
  }
  void FreeEvent(DeviceEvent event) override {
    (void)Call("", [&] { return cudaEventDestroy(EventOf(event)); });
  }

  Status Copy(const DeviceCopy& copy, DeviceStream stream) override {
    return Call("copying to the device", [&] {
      return copy.rows == 1 ? cudaMemcpyAsync(copy.to, copy.from, copy.size, cudaMemcpyHostToDevice, StreamOf(stream))
                            : cudaMemcpy2DAsync(copy.to, copy.to_pitch, copy.from, copy.from_pitch, copy.size,
                                                copy.rows, cudaMemcpyHostToDevice, StreamOf(stream));
    });
  }
  Status Record(DeviceEvent event, DeviceStream stream) override {
    return Call("recording an event", [&] { return cudaEventRecord(EventOf(event), StreamOf(stream)); });
  }
  Result<bool> IsDone(DeviceEvent event) override {
    const cudaError_t done = cudaEventQuery(EventOf(event));
    if (done == cudaSuccess) return true;
    if (done != cudaErrorNotReady) return Failed(name_, "copying to the device", done);
    (void)cudaGetLastError();
    return false;
  }
  Status Wait(DeviceEvent event) override {
    return Call("copying to the device", [&] { return cudaEventSynchronize(EventOf(event)); });
  }
  Status WaitForStream(DeviceStream stream) override {
    return Call("work on a stream", [&] { return cudaStreamSynchronize(StreamOf(stream)); });
  }

  Status Decode(const cuda::MatrixView& matrix, uint64_t first, uint64_t count, DType type, std::byte* out,
                DeviceStream stream) override {
    return Launch([&] { return cuda::DecodeOnDevice(found_, matrix, first, count, type, out, stream); });
  }
  Status Multiply(const cuda::MatrixView& matrix, const cuda::ProductRequest& request, DeviceStream stream) override {
    return Launch([&] { return cuda::MultiplyOnDevice(matrix, request, limits_, stream); });
  }
  uint64_t ScratchBytes(const cuda::MatrixView& matrix, const cuda::ProductRequest& request) const override {
    return cuda::ProductScratchBytes(matrix, request, limits_);
  }
  Status Clear(std::byte* at, uint64_t size, uint64_t rows, uint64_t pitch, DeviceStream stream) override {
    return Call("clearing memory", [&] { return cudaMemset2DAsync(at, pitch, 0, size, rows, StreamOf(stream)); });
  }

 private:
  template <typename Body>
  Status Call(const char* what, Body&& body) const {
    const Current current(number_);
    const cudaError_t error = current.error() == cudaSuccess ? body() : current.error();
    if (error == cudaSuccess) return {};
    return Failed(name_, what, error);
  }

  template <typename Body>
  Status Launch(Body&& body) const {
    const Current current(number_);
    if (current.error() != cudaSuccess) return Failed(name_, "making it current", current.error());
    const Status launched = body();
    if (launched) return launched;
    return Fail(launched.error().code, "{}: {}", name_, launched.error().message);
  }

  const int number_;
  const cuda::Device found_;
  const DeviceInfo info_;
  const cuda::DeviceLimits limits_;
  const std::string name_;
};

}  // namespace

Result<uint32_t> CountCudaDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess) return static_cast<uint32_t>(count);
  (void)cudaGetLastError();
  if (error == cudaErrorNoDevice) return 0u;
  const auto found = cuda::OpenDevice(0);  // says why
  if (!found) return Propagate(found);
  return Fail(ErrorCode::kDevice, "CUDA: counting devices: {}", cudaGetErrorString(error));
}

Result<std::shared_ptr<Device>> OpenCudaDevice(int number) {
  const auto found = cuda::OpenDevice(number);
  if (!found) return Propagate(found);
  const auto limits = cuda::LimitsOfDevice(number);
  if (!limits) return Propagate(limits);
  auto device = std::make_shared<CudaDevice>(*found, *limits);
  if (auto usable = device->MemoryInfo(); !usable) return Propagate(usable);
  return device;
}

}  // namespace ingot

#else

namespace ingot {

Result<uint32_t> CountCudaDevices() {
  const auto found = cuda::OpenDevice(0);
  if (!found) return Propagate(found);
  return 0u;
}

Result<std::shared_ptr<Device>> OpenCudaDevice(int number) {
  const auto found = cuda::OpenDevice(number);  // says that there is none, and why
  if (!found) return Propagate(found);
  return Fail(ErrorCode::kUnsupported, "cuda:{}: this build is without CUDA", number);
}

}  // namespace ingot

#endif

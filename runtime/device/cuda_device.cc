#include "runtime/device/cuda_device.h"

#include "kernels/cuda/product_device.h"

#ifdef INGOT_HAS_CUDA

#include <algorithm>
#include <mutex>
#include <optional>

#include "kernels/cuda/launch.h"

namespace ingot {
namespace {

cudaStream_t StreamOf(DeviceStream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t EventOf(DeviceEvent event) { return static_cast<cudaEvent_t>(event); }

class CudaDevice : public Device {
 public:
  CudaDevice(const cuda::Device& found, std::optional<cuda::LibraryProducts> library)
      : found_(found),
        info_{static_cast<uint32_t>(found.index), found.name, static_cast<uint32_t>(found.architecture),
              found.multiprocessors},
        name_(fmt::format("cuda:{} ({})", found.index, found.name)),
        library_(std::move(library)) {}

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
    if (done != cudaErrorNotReady) return Propagate(cuda::CheckCall(found_, "copying to the device", done));
    if (cudaPeekAtLastError() == done) (void)cudaGetLastError();
    return false;
  }
  Status Wait(DeviceEvent event) override {
    return Call("copying to the device", [&] { return cudaEventSynchronize(EventOf(event)); });
  }
  Status WaitForStream(DeviceStream stream) override {
    return Call("work on a stream", [&] { return cudaStreamSynchronize(StreamOf(stream)); });
  }

  Status Decode(const cuda::MatrixView& matrix, const MatrixSlice& slice, DType type, std::byte* out, uint64_t stride,
                DeviceStream stream) override {
    return cuda::DecodeOnDevice(found_, matrix, slice, type, out, stride, stream);
  }
  Status DecodeFlat(const cuda::MatrixView& matrix, uint64_t first, uint64_t count, DType type, std::byte* out,
                    DeviceStream stream) override {
    return cuda::DecodeOnDevice(found_, matrix, first, count, type, out, stream);
  }
  Status Multiply(const cuda::MatrixView& matrix, const cuda::ProductRequest& request, DeviceStream stream) override {
    if (!ByLibrary(matrix, request)) return cuda::MultiplyOnDevice(found_, matrix, request, stream);
    const std::lock_guard lock(library_mutex_);
    return library_->Multiply(matrix, request, request.scratch, PanelBytes(request), stream);
  }
  uint64_t ScratchBytes(const cuda::MatrixView& matrix, const cuda::ProductRequest& request) const override {
    // Enough for fewer rows as well.
    const uint64_t panel = ByLibrary(matrix, request) ? PanelBytes(request) : 0;
    return std::max(panel, cuda::ProductScratchBytes(matrix, request, found_));
  }
  Status Clear(std::byte* at, uint64_t size, uint64_t rows, uint64_t pitch, DeviceStream stream) override {
    return Call("clearing memory", [&] { return cudaMemset2DAsync(at, pitch, 0, size, rows, StreamOf(stream)); });
  }

 private:
  template <typename Body>
  Status Call(const char* what, Body&& body) const {
    const cuda::CurrentDevice current(found_.index);
    return cuda::CheckCall(found_, what, current.error() == cudaSuccess ? body() : current.error());
  }
  // Whether decoded panels and cuBLASLt make a product: of many rows, if no weight can become infinite.
  bool ByLibrary(const cuda::MatrixView& m, const cuda::ProductRequest& r) const {
    const bool finite = r.x_type == DType::kBF16 || (m.raw ? m.raw_type : m.result) == cuda::kF16;
    return library_ && finite && r.x_rows >= cuda::LibraryProducts::kRows && r.slice.columns > 0 &&
           r.precision == cuda::ProductPrecision::kNative;
  }
  static uint64_t PanelBytes(const cuda::ProductRequest& r) {
    constexpr uint64_t kMostBytes = 64 << 20;  // but for a row
    const uint64_t row_bytes = r.slice.columns * sizeof(uint16_t);
    return row_bytes * std::clamp<uint64_t>(kMostBytes / row_bytes, 1, std::max<uint64_t>(r.slice.rows, 1));
  }

  const cuda::Device found_;
  const DeviceInfo info_;
  const std::string name_;
  std::mutex library_mutex_;  // of the library's handle
  const std::optional<cuda::LibraryProducts> library_;
};

}  // namespace

Result<std::shared_ptr<Device>> OpenCudaDevice(int number) {
  const auto found = cuda::OpenDevice(number);
  if (!found) return Propagate(found);
  auto library = cuda::LibraryProducts::Make(*found);  // none: then our own kernels do it all
  auto device = std::make_shared<CudaDevice>(*found, library ? std::optional(std::move(*library)) : std::nullopt);
  if (auto usable = device->MemoryInfo(); !usable) return Propagate(usable);
  return device;
}

}  // namespace ingot

#else

namespace ingot {

Result<std::shared_ptr<Device>> OpenCudaDevice(int number) {
  const auto found = cuda::OpenDevice(number);  // says that there is none, and why
  if (!found) return Propagate(found);
  return Fail(ErrorCode::kUnsupported, "cuda:{}: this build is without CUDA", number);
}

}  // namespace ingot

#endif

// A device with memory of its own: memory, streams, events, asynchronous copies, and the kernels that work there.
// CUDA's is in runtime/device/cuda_device.h; tests have one that is emulated and runs the same kernels on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "format/status.h"
#include "kernels/cuda/matrix_view.h"
#include "kernels/cuda/product_plan.h"

namespace ingot {

inline constexpr uint64_t kDeviceAlignment = 256;  // of all memory on a device

using DeviceStream =
    void*;  // what Device::MakeStream gave, or the caller's own (CUDA: a cudaStream_t); null: the default
using DeviceEvent = void*;  // what Device::MakeEvent gave

// `rows` pieces of `size` bytes each; one row needs no pitch.
struct DeviceCopy {
  std::byte* to = nullptr;          // on the device
  const std::byte* from = nullptr;  // in pinned memory
  uint64_t size = 0;
  uint64_t rows = 1;
  uint64_t to_pitch = 0, from_pitch = 0;
};

struct DeviceInfo {
  uint32_t number = 0;
  std::string name;           // "NVIDIA H100 80GB HBM3"
  uint32_t architecture = 0;  // 75, 80, 90, ...
  uint32_t multiprocessors = 0;
};

// Thread-safe. Errors are kDevice or, where memory is short, kMemory, and name the device; a failed copy or kernel may
// also be reported by a later call. Whatever it gave out must be given back before it goes.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  virtual const DeviceInfo& info() const = 0;
  virtual std::string Name() const = 0;  // "cuda:0 (NVIDIA H100 80GB HBM3)"

  struct Memory {
    uint64_t free = 0, total = 0;
  };
  virtual Result<Memory> MemoryInfo() = 0;

  // At a multiple of kDeviceAlignment; size > 0.
  virtual Result<std::byte*> Allocate(uint64_t size) = 0;
  virtual void Free(std::byte* at, uint64_t size) = 0;
  // Memory of the host that the device copies from without help; size > 0.
  virtual Result<std::byte*> AllocatePinned(uint64_t size) = 0;
  virtual void FreePinned(std::byte* at, uint64_t size) = 0;

  virtual Result<DeviceStream> MakeStream() = 0;
  virtual void FreeStream(DeviceStream stream) = 0;
  virtual Result<DeviceEvent> MakeEvent() = 0;
  virtual void FreeEvent(DeviceEvent event) = 0;

  // Asynchronous: done some time after, in the order of the stream. `from` must stay as it is until then.
  virtual Status Copy(const DeviceCopy& copy, DeviceStream stream) = 0;
  // The event stands for everything that the stream was given so far.
  virtual Status Record(DeviceEvent event, DeviceStream stream) = 0;
  // Whether it is done; waiting for it. Without an error everything that the event stands for has succeeded.
  virtual Result<bool> IsDone(DeviceEvent event) = 0;
  virtual Status Wait(DeviceEvent event) = 0;
  // Waits for everything that the stream was given so far, done or failed; without an error all of it has succeeded.
  virtual Status WaitForStream(DeviceStream stream) = 0;

  // Asynchronous work of kernels, all memory being the device's: planes, x, out, y and scratch must live until it is
  // done. Slices and ranges of elements lie in the view; `out` is aligned to its elements (kernels/cuda/decode_plan.h).
  virtual Status Decode(const cuda::MatrixView& matrix, const MatrixSlice& slice, DType type, std::byte* out,
                        uint64_t stride, DeviceStream stream) = 0;
  virtual Status DecodeFlat(const cuda::MatrixView& matrix, uint64_t first, uint64_t count, DType type, std::byte* out,
                            DeviceStream stream) = 0;
  // Y = X W^T (kernels/cuda/product_plan.h), with ScratchBytes of scratch.
  virtual Status Multiply(const cuda::MatrixView& matrix, const cuda::ProductRequest& request, DeviceStream stream) = 0;
  virtual uint64_t ScratchBytes(const cuda::MatrixView& matrix, const cuda::ProductRequest& request) const = 0;
  // `rows` rows of `size` bytes become zero, each `pitch` bytes after the one before.
  virtual Status Clear(std::byte* at, uint64_t size, uint64_t rows, uint64_t pitch, DeviceStream stream) = 0;
};

// Where device memory comes from, if not from the device: functions of the caller's, which throw nothing and may be
// called from any thread. Both or none are given. They must work as long as there is memory of theirs.
struct DeviceAllocator {
  void* user = nullptr;
  void* (*allocate)(void* user, uint64_t size, uint64_t alignment) = nullptr;  // NULL: there is no memory
  void (*release)(void* user, void* at, uint64_t size) = nullptr;
};

// Owns a piece of device memory and holds its device alive. Movable; not thread-safe.
class DeviceMemory {
 public:
  // kMemory, kDevice; kUsage if the caller's memory is not at a multiple of kDeviceAlignment. size > 0.
  static Result<DeviceMemory> Allocate(std::shared_ptr<Device> device, const DeviceAllocator& allocator, uint64_t size);
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  std::shared_ptr<Device> device_;
  DeviceAllocator allocator_;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace ingot

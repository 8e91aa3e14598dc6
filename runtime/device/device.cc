#include "runtime/device/device.h"

#include <utility>

namespace ingot {

Result<DeviceMemory> DeviceMemory::Allocate(std::shared_ptr<Device> device, const DeviceAllocator& allocator,
                                            uint64_t size) {
  DeviceMemory memory;
  if (allocator.allocate == nullptr) {
    auto at = device->Allocate(size);
    if (!at) return Propagate(at);
    memory.data_ = *at;
  } else {
    memory.data_ = static_cast<std::byte*>(allocator.allocate(allocator.user, size, kDeviceAlignment));
    if (memory.data_ == nullptr)
      return Fail(ErrorCode::kMemory, "{}: the caller's allocator has no {} bytes", device->Name(), size);
  }
  memory.device_ = std::move(device);
  memory.allocator_ = allocator;
  memory.size_ = size;
  if (reinterpret_cast<uintptr_t>(memory.data_) % kDeviceAlignment != 0) {
    return Fail(ErrorCode::kUsage, "{}: memory is at {:#x}, must be at a multiple of {}", memory.device_->Name(),
                reinterpret_cast<uintptr_t>(memory.data_), kDeviceAlignment);
  }
  return memory;
}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(allocator_, other.allocator_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (data_ == nullptr) return;
  if (allocator_.allocate == nullptr) {
    device_->Free(data_, size_);
  } else {
    allocator_.release(allocator_.user, data_, size_);
  }
}

}  // namespace ingot

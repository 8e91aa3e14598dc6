// A GPU as the engine uses it: memory, copies and kernel launches, in the order of one stream, and the library's handle
// of the same device. OpenGpu gives NVIDIA's; the tests have one that runs kernels on the CPU.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "runtime/ingot.h"
#include "tools/llama/cuda/kernel_params.h"

namespace llama {

// Every call throws Failure, with the device's name; what a kernel or a copy does wrong is known at the next Wait or
// CopyOut. For one thread, but for Allocate and Free, which the upload calls from its own.
class Gpu {
 public:
  Gpu() = default;
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;
  virtual ~Gpu() = default;

  virtual ingot_device* device() const = 0;  // valid as long as this is
  virtual void* stream() const = 0;
  // For Launch.
  virtual const gpu::Kernels& kernels(gpu::Half half) const = 0;
  // What device() says of itself; a name that may be printed.
  std::string name() const;
  ingot_device_info info() const;

  // At a multiple of 256 bytes; NULL: there is no memory. size > 0.
  void* Allocate(uint64_t size);
  void Free(void* at, uint64_t size);
  uint64_t memory_in_use() const { return in_use_; }
  uint64_t most_memory() const { return most_; }  // that was in use at a time

  // Copies to the device; `from` may be changed afterwards.
  virtual void CopyIn(void* to, const void* from, uint64_t size) = 0;
  // Waits for everything so far, and copies from the device.
  virtual void CopyOut(void* to, const void* from, uint64_t size) = 0;
  void Wait();

  // Starts a kernel of tools/llama/cuda/ with as many blocks; none for 0.
  template <typename Params>
  void Launch(void (*kernel)(Params), Params params, uint64_t blocks) {
    static_assert(std::is_trivially_copyable_v<Params>);
    const auto run = [](const void* address, const void* at) {
      reinterpret_cast<void (*)(Params)>(const_cast<void*>(address))(*static_cast<const Params*>(at));
    };
    if (blocks > 0) Start({reinterpret_cast<const void*>(kernel), &params, sizeof params, blocks, run});
  }

 protected:
  struct Work {
    const void* kernel;
    void* params;  // until Start returns
    size_t params_size;
    uint64_t blocks;
    void (*run)(const void* kernel, const void* params);  // where kernels are functions of the host
  };
  virtual void Start(const Work& work) = 0;
  virtual void* TryAllocate(uint64_t size) = 0;
  virtual void Release(void* at, uint64_t size) = 0;
  // For ingot_device_options: tensors' memory comes from Allocate and counts.
  void SetAllocator(ingot_device_options& options);

 private:
  std::atomic<uint64_t> in_use_{0}, most_{0};
};

// Refuses, with the library's reason, where there is no such device. `threads`: of the upload; 0: the library's
// default.
std::unique_ptr<Gpu> OpenGpu(uint32_t number, uint32_t threads);

// Memory of a GPU for `count` values. Movable; the GPU must outlive it.
template <typename T>
class GpuArray {
 public:
  GpuArray() = default;
  GpuArray(Gpu& gpu, uint64_t count) : gpu_(&gpu), size_(count) { at_ = Allocated(); }
  GpuArray(Gpu& gpu, std::span<const T> values) : GpuArray(gpu, values.size()) {
    if (!values.empty()) gpu.CopyIn(at_, values.data(), values.size_bytes());
  }
  GpuArray(GpuArray&& other) noexcept { *this = std::move(other); }
  GpuArray& operator=(GpuArray&& other) noexcept {
    std::swap(gpu_, other.gpu_), std::swap(at_, other.at_), std::swap(size_, other.size_);
    return *this;
  }
  ~GpuArray() {
    if (at_ != nullptr) gpu_->Free(at_, size_ * sizeof(T));
  }

  T* data() const { return at_; }
  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  T* Allocated() const;
  Gpu* gpu_ = nullptr;
  T* at_ = nullptr;
  uint64_t size_ = 0;
};

// Throws Failure: what could not be allocated.
[[noreturn]] void FailWithoutMemory(const Gpu& gpu, uint64_t size);

template <typename T>
T* GpuArray<T>::Allocated() const {
  if (size_ == 0) return nullptr;
  void* const at = size_ <= UINT64_MAX / sizeof(T) ? gpu_->Allocate(size_ * sizeof(T)) : nullptr;
  if (at == nullptr) FailWithoutMemory(*gpu_, size_ * sizeof(T));
  return static_cast<T*>(at);
}

}  // namespace llama

// In place of tools/llama/cuda/cuda_gpu.cc: a GPU that is emulated and runs every kernel under the executor, so that
// the whole of ingot-llama is tested without one. It fails when the environment says so: EMULATED_MEMORY bytes at most,
// EMULATED_FAIL_AT the piece of work with that number.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "runtime/abi/abi.h"
#include "tests/simt/kernel_device.h"
#include "tools/llama/cuda/gpu.h"
#include "tools/llama/failure.h"

namespace llama {
namespace {

using ingot::test::KernelDevice;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What a test must not miss: leaks, memory that was freed while it was used.
[[noreturn]] void Complain(const std::string& problems) {
  std::fprintf(stderr, "emulated GPU: %s\n", problems.c_str());
  std::abort();
}

class EmulatedGpu : public Gpu {
 public:
  explicit EmulatedGpu(uint32_t threads) {
    ingot::test::EmulatedOptions options;
    options.memory = FromEnvironment("EMULATED_MEMORY", options.memory);
    options.fail_at_work = FromEnvironment("EMULATED_FAIL_AT", 0);
    options.most_delay_us = 20;
    device_ = std::make_shared<KernelDevice>(options);
    ingot_device_options how{};
    how.struct_size = sizeof how;
    how.threads = threads;
    SetAllocator(how);
    const auto handle = ingot::abi::MakeDevice(device_, &how);
    if (!handle) Fail(kBadInput, "{}", handle.error().text);
    handle_ = *handle;
    stream_ = device_->MakeStream().value();
  }
  ~EmulatedGpu() override {
    device_->FreeStream(stream_);
    ingot_device_release(handle_);
    if (const std::string problems = device_->Problems(); !problems.empty()) Complain(problems);
  }

  ingot_device* device() const override { return handle_; }
  void* stream() const override { return stream_; }
  const gpu::Kernels& kernels(gpu::Half half) const override { return gpu::KernelsFor(half); }

  void CopyIn(void* to, const void* from, uint64_t size) override {
    Wait();
    std::memcpy(to, from, size);
  }
  void CopyOut(void* to, const void* from, uint64_t size) override {
    Wait();
    std::memcpy(to, from, size);
  }

 protected:
  void Start(const Work& work) override {
    const auto* const at = static_cast<const std::byte*>(work.params);
    const auto kernel = [run = work.run, address = work.kernel,
                         params = std::vector<std::byte>(at, at + work.params_size)] { run(address, params.data()); };
    const auto started = device_->Launch("a kernel of the engine", stream_, Own(), {},
                                         {{static_cast<unsigned>(work.blocks), gpu::kThreads, 0, kernel}});
    if (!started) Fail(kInputOutput, "{}", started.error().message);
  }
  void* TryAllocate(uint64_t size) override {
    const auto at = device_->Allocate(size);
    if (!at) return nullptr;
    const std::lock_guard lock(mutex_);
    pieces_[*at] = size;
    return *at;
  }
  void Release(void* at, uint64_t size) override {
    const std::lock_guard lock(mutex_);
    pieces_.erase(static_cast<std::byte*>(at));
    device_->Free(static_cast<std::byte*>(at), size);
  }

 private:
  // All that was allocated: which of it a kernel writes is not known here.
  std::vector<KernelDevice::Range> Own() {
    const std::lock_guard lock(mutex_);
    std::vector<KernelDevice::Range> ranges;
    for (const auto& [at, size] : pieces_) ranges.push_back({at, size});
    return ranges;
  }

  std::shared_ptr<KernelDevice> device_;
  ingot_device* handle_ = nullptr;
  void* stream_ = nullptr;
  std::mutex mutex_;  // of what follows
  std::map<const std::byte*, uint64_t> pieces_;
};

}  // namespace

std::unique_ptr<Gpu> OpenGpu(uint32_t number, uint32_t threads) {
  if (number > 0) Fail(kBadInput, "emulated: there is no device {}", number);
  return std::make_unique<EmulatedGpu>(threads);
}

}  // namespace llama

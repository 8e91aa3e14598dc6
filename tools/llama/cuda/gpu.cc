#include "tools/llama/cuda/gpu.h"

#include "tools/llama/failure.h"
#include "tools/llama/ingot_file.h"

namespace llama {

ingot_device_info Gpu::info() const {
  ingot_device_info info{};
  info.struct_size = sizeof info;
  Check(ingot_device_describe(device(), &info));
  return info;
}

std::string Gpu::name() const {
  const ingot_text name = info().name;
  return Printable({name.data, name.size});
}

void* Gpu::Allocate(uint64_t size) {
  void* const at = TryAllocate(size);
  if (at == nullptr) return nullptr;
  const uint64_t now = in_use_ += size;
  for (uint64_t most = most_; now > most && !most_.compare_exchange_weak(most, now);) {
  }
  return at;
}

void Gpu::Free(void* at, uint64_t size) {
  Release(at, size);
  in_use_ -= size;
}

void Gpu::Wait() { Check(ingot_device_wait(device(), stream())); }

void Gpu::SetAllocator(ingot_device_options& options) {
  options.user = this;
  options.allocate = [](void* user, uint64_t size, uint64_t) { return static_cast<Gpu*>(user)->Allocate(size); };
  options.release = [](void* user, void* at, uint64_t size) { static_cast<Gpu*>(user)->Free(at, size); };
}

void FailWithoutMemory(const Gpu& gpu, uint64_t size) {
  const ingot_device_info info = gpu.info();
  Fail(kInputOutput, "{}: no {} bytes of memory: {} are in use here, {} of {} are free", gpu.name(), size,
       gpu.memory_in_use(), info.free_bytes, info.memory_bytes);
}

}  // namespace llama

// Memory that files are read into, and that is filled whole before it is looked at.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace ingot {

// Begins at a multiple of 64 bytes, and elements that no value is given are left as they are: the copy in the kernel's
// read has less than half its speed on AMD's Zen where its target lies 16 bytes behind the start of a page, as malloc
// places large blocks. Large memory asks for huge pages.
template <typename T>
struct IoAllocator : std::allocator<T> {
  static constexpr size_t kHugePage = size_t{2} << 20;

  template <typename U>
  struct rebind {
    using other = IoAllocator<U>;
  };
  static std::align_val_t AlignmentOf(size_t count) {
    return std::align_val_t{count * sizeof(T) >= 2 * kHugePage ? kHugePage : 64};
  }
  T* allocate(size_t count) {
    const std::align_val_t alignment = AlignmentOf(count);
    void* at = ::operator new(count * sizeof(T), alignment);
    if (alignment == std::align_val_t{kHugePage}) madvise(at, count * sizeof(T), MADV_HUGEPAGE);
    return static_cast<T*>(at);
  }
  void deallocate(T* at, size_t count) { ::operator delete(at, AlignmentOf(count)); }
  template <typename U>
  void construct(U* at) {
    ::new (static_cast<void*>(at)) U;
  }
  template <typename U, typename... Args>
  void construct(U* at, Args&&... args) {
    ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
  }
};

using IoBytes = std::vector<std::byte, IoAllocator<std::byte>>;
using IoCodes = std::vector<uint8_t, IoAllocator<uint8_t>>;  // a byte each

}  // namespace ingot

// Address space that becomes memory as it is written: how sizes that a file claims are kept from costing anything.
#pragma once

#include <cstdint>

#include "format/bytes.h"
#include "format/status.h"

namespace ingot {

// Owns an anonymous private mapping, zero until it is written. Movable. Drop is thread-safe.
class Reservation {
 public:
  // kHuge asks for pages of 2 MiB, which reading in long rows is 10 to 25 % faster with; kSmall refuses them, for what
  // is written or dropped in pieces.
  enum class Pages { kSmall, kHuge };

  // At least `size` bytes (at least 1) at a multiple of a huge page, or of a page where that makes no difference.
  // kMemory, naming `what`, if the address space has no such range.
  static Result<Reservation> Make(uint64_t size, Pages pages, const std::string& what);
  Reservation() = default;
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

  // Gives the pages of a range back, which reads as zeros afterwards. `offset` is a multiple of the page; nothing that
  // is kept may share the last page.
  void Drop(uint64_t offset, uint64_t size) const;

 private:
  void* mapped_ = nullptr;
  uint64_t mapped_size_ = 0;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace ingot

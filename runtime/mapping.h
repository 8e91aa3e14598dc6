// A file mapped into memory for reading.
#pragma once

#include <optional>

#include "format/bytes.h"
#include "runtime/file.h"

namespace ingot {

// Owns a read-only shared mapping of a whole file. Movable; thread-safe. Touching a page that another program has cut
// off the file meanwhile raises SIGBUS: whoever cannot rule that out reads with File::ReadAt (INGOT_NO_MMAP makes all
// of Ingot do so).
class Mapping {
 public:
  // Nothing if INGOT_NO_MMAP is set to anything but 0, or the file cannot be mapped (an empty one).
  static std::optional<Mapping> Map(const File& file);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping();

  ByteSpan bytes() const { return bytes_; }
  // Whether a range (size > 0) is in the page cache, judged by four of its pages: only then is touching it as fast as
  // memory.
  bool Resident(uint64_t offset, uint64_t size) const;
  // How much of it is in the page cache.
  uint64_t ResidentBytes() const;
  // Brings a range (size > 0) in, in large reads and without a fault for each page, as far as the system can.
  void Populate(uint64_t offset, uint64_t size) const;

 private:
  explicit Mapping(ByteSpan bytes) : bytes_(bytes) {}
  ByteSpan bytes_;
};

}  // namespace ingot

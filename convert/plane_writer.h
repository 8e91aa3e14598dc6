// Writes planes into an output file while they are made: reserve a place, append bytes in order, hash them on the way,
// and settle the finished ones without holes. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "format/hash.h"
#include "format/index_builder.h"
#include "format/status.h"
#include "runtime/output_file.h"

namespace ingot {

// Hands out regions of a file, each at a multiple of the alignment (spec/FORMAT.md, R-FILE-3).
class RegionAllocator {
 public:
  RegionAllocator(uint64_t start, uint32_t alignment) : end_(start), alignment_(alignment) {}
  uint64_t Reserve(uint64_t size);
  void Rewind(uint64_t end) { end_ = end; }
  uint64_t end() const { return end_; }  // of the last region

 private:
  uint64_t end_;
  uint32_t alignment_;
};

// One plane that is being written, front to back.
class PlaneWriter {
 public:
  // `element_size`: for finding out whether all elements are equal, and for compression.
  PlaneWriter(OutputFile& file, RegionAllocator& allocator, uint64_t size, int element_size, bool sha256);

  Status Append(ByteSpan bytes);
  Status Flush();

  // Whether all elements so far have the same bits; those bits.
  bool all_equal() const { return all_equal_; }
  ByteSpan first_element() const { return {first_.data(), static_cast<size_t>(element_size_)}; }
  int element_size() const { return element_size_; }
  uint64_t appended() const { return appended_; }

  // After Flush: where it is and what it hashes to.
  WrittenPlane Finish();

 private:
  void HashAndCompare(ByteSpan bytes);
  OutputFile* file_;
  uint64_t offset_, size_;
  uint64_t appended_ = 0, written_ = 0;
  int element_size_;
  bool all_equal_ = true;
  std::array<std::byte, 8> first_{};
  std::vector<std::byte> buffer_;
  Xxh3Stream hash_;
  uint64_t in_chunk_ = 0;
  std::vector<Hash128> chunks_;
  std::unique_ptr<Sha256Stream> sha256_;
};

// A finished plane that stays, and the size of its elements.
struct KeptPlane {
  WrittenPlane* plane;
  int element_size;
};

// Moves planes (ascending, all at or after `start`) together so that no hole is left between them, and with `compress`
// replaces those that shrink by 5 % or more by frames, measured on up to 16 chunks of each. The allocator goes on
// behind the last one.
Status SettlePlanes(OutputFile& file, RegionAllocator& allocator, uint64_t start, std::vector<KeptPlane> planes,
                    bool compress);

}  // namespace ingot

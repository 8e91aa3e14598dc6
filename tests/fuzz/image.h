// The image of a whole .ingot file in memory, as the fuzz targets take it.
#pragma once

#include <vector>

#include "format/bytes.h"
#include "format/checked.h"
#include "format/hash.h"
#include "format/layout.h"

namespace ingot {

using Image = std::vector<std::byte>;

// Gives every slot that has a magic the right hashes for what it says, and the slot itself the right checksum.
inline void RepairHashes(Image& image) {
  if (image.size() < kHeaderSize) return;
  for (size_t slot = 0; slot < 2; ++slot) {
    std::byte* at = image.data() + slot * kSlotSize;
    const uint64_t offset = Load<uint64_t>(at + 48), size = Load<uint64_t>(at + 56);
    if (InRange(offset, size, image.size())) {
      const Hash128 hash = Xxh3_128(ByteSpan(image).subspan(offset, size));
      Store(at + 64, hash.low);
      Store(at + 72, hash.high);
    }
    const Hash128 checksum = Xxh3_128(ByteSpan(at, 4080));
    Store(at + 4080, checksum.low);
    Store(at + 4088, checksum.high);
  }
}

}  // namespace ingot

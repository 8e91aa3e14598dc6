// The image of a whole .ingot file in memory, as the fuzz targets take it.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "format/bytes.h"
#include "format/checked.h"
#include "format/hash.h"
#include "format/index.h"
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

// Gives every chunk the hash of its bytes, as far as the index can be found: planes that are stored raw and whose
// record is whole.
inline void RepairChunks(Image& image) {
  Report report;
  const HeaderPair pair =
      ReadHeader(ByteSpan(image).first(std::min<size_t>(image.size(), kHeaderSize)), image.size(), report);
  if (!pair.current) return;
  const Header& h = pair.header;
  if (!InRange(h.index_offset, h.index_size, image.size())) return;
  const auto bytes = std::make_shared<Image>(image.begin() + static_cast<ptrdiff_t>(h.index_offset),
                                             image.begin() + static_cast<ptrdiff_t>(h.index_offset + h.index_size));
  Report of_index;
  Index::Soundness soundness;
  const auto index = Index::Open({bytes, *bytes}, h, of_index, &soundness);
  if (!index || !soundness.planes) return;
  std::byte* const chunks = image.data() + h.index_offset + index->table_offset(Table::kChunks);
  const size_t stride = index->record_size(Table::kChunks);
  for (uint32_t p = 0; p < index->plane_count(); ++p) {
    const PlaneRecord plane = index->plane(p);
    for (uint64_t c = 0; c < plane.chunk_count() && !plane.framed(); ++c) {
      const Hash128 hash = Xxh3_128(ByteSpan(image).subspan(plane.offset + c * kChunkSize, plane.chunk_size(c)));
      std::byte* const at = chunks + (plane.first_chunk + c) * stride;
      Store(at, hash.low);
      Store(at + 8, hash.high);
    }
  }
}

}  // namespace ingot

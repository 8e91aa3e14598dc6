#include "format/index.h"

#include <algorithm>

#include "format/checked.h"

namespace ingot {

std::vector<uint64_t> TensorRecord::shape() const {
  std::vector<uint64_t> out(rank);
  for (int i = 0; i < rank; ++i) out[static_cast<size_t>(i)] = dim(i);
  return out;
}

uint32_t MetadataScalarSize(uint8_t type) {
  constexpr std::array<uint8_t, 13> kSizes = {1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 0, 0};
  return type < kSizes.size() ? kSizes[type] : 0;
}

MetadataRecord Index::metadata(uint32_t i) const {
  const std::byte* at = record(Table::kMetadata, i);
  const uint32_t heap = Load<uint32_t>(at);
  const uint16_t key_size = Load<uint16_t>(at + 4);
  return {heap_text(heap, key_size),
          Load<uint8_t>(at + 6),
          Load<uint8_t>(at + 7),
          {view(Table::kHeap).data + heap + key_size, Load<uint32_t>(at + 8)}};
}

AttachmentRecord Index::attachment(uint32_t i) const {
  const std::byte* at = record(Table::kAttachments, i);
  return {heap_text(Load<uint32_t>(at), Load<uint16_t>(at + 4)), Load<uint32_t>(at + 8)};
}

ShardRecord Index::shard(uint32_t i) const {
  const std::byte* at = record(Table::kShards, i);
  return {heap_text(Load<uint32_t>(at), Load<uint16_t>(at + 4)),
          {Load<uint64_t>(at + 8), Load<uint64_t>(at + 16)},
          {Load<uint64_t>(at + 24), Load<uint64_t>(at + 32)}};
}

SourceRecord Index::source(uint32_t i) const {
  const std::byte* at = record(Table::kSources, i);
  return {heap_text(Load<uint32_t>(at), Load<uint16_t>(at + 4)),
          Load<uint64_t>(at + 8),
          {Load<uint64_t>(at + 16), Load<uint64_t>(at + 24)}};
}

DeadRange Index::dead_range(uint32_t i) const {
  const std::byte* at = record(Table::kDeadRanges, i);
  return {Load<uint64_t>(at), Load<uint64_t>(at + 8)};
}

Sha256 Index::sha256(uint32_t i) const {
  Sha256 out;
  std::memcpy(out.data(), record(Table::kSha256, i), out.size());
  return out;
}

std::optional<uint32_t> Index::FindTensor(std::string_view name) const {
  uint32_t low = 0, high = tensor_count();
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (tensor(middle).name < name) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == tensor_count() || tensor(low).name != name) return std::nullopt;
  return low;
}

std::optional<MetadataRecord> Index::FindMetadata(std::string_view key) const {
  for (uint32_t i = 0; i < count(Table::kMetadata); ++i) {
    if (const MetadataRecord record = metadata(i); record.key == key) return record;
  }
  return std::nullopt;
}

uint64_t Index::table_offset(Table table) const {
  return view(table).data == nullptr ? 0 : static_cast<uint64_t>(view(table).data - bytes_.bytes.data());
}

uint64_t ElementCount(const TensorRecord& tensor) {
  uint64_t product = 1;
  for (int i = 0; i < tensor.rank; ++i) product *= tensor.dim(i);
  return product;
}

uint64_t ElementCount(const TensorRecord& tensor, const PartRecord& part) {
  uint64_t product = part.extent;
  for (int i = 0; i < tensor.rank; ++i) {
    if (i != tensor.axis) product *= tensor.dim(i);
  }
  return product;
}

void DigestBuilder::AddEncoding(const Index& index, uint32_t number, std::vector<std::byte>& text) {
  const EncodingRecord e = index.encoding(number);
  Append(text, e.kind);
  Append(text, e.flags);
  Append(text, e.child_count);
  Append(text, e.payload_size);
  Append(text, e.plane_count);
  Append(text, index.payload(e));
  for (uint32_t p = e.first_plane; p < e.first_plane + e.plane_count; ++p) {
    const PlaneRecord plane = index.plane(p);
    Append(text, plane.size);
    for (uint64_t c = 0; c < plane.chunk_count(); ++c) {
      const Hash128 hash = index.chunk(static_cast<uint32_t>(plane.first_chunk + c));
      Append(text, hash.low);
      Append(text, hash.high);
    }
  }
  for (uint32_t c = number - e.child_count; c < number; ++c) AddEncoding(index, c, text);
}

void DigestBuilder::Add(const Index& index, uint32_t number) {
  const TensorRecord t = index.tensor(number);
  std::vector<std::byte>& text = scratch_;
  text.clear();
  Append(text, static_cast<uint32_t>(t.name.size()));
  Append(text, AsBytes(t.name));
  names_.Update(text);
  Append(text, t.dtype);
  Append(text, t.rank);
  Append(text, t.axis);
  Append(text, uint8_t{0});
  Append(text, t.part_count);
  Append(text, ByteSpan(t.dims, size_t{8} * t.rank));
  for (uint32_t p = t.first_part; p < t.first_part + t.part_count; ++p) {
    const PartRecord part = index.part(p);
    Append(text, part.extent);
    AddEncoding(index, part.encoding, text);
  }
  const Hash128 hash = Xxh3_128(text);
  std::array<std::byte, 16> bytes;
  Store(bytes.data(), hash.low);
  Store(bytes.data() + 8, hash.high);
  content_.Update(bytes);
}

std::pair<Hash128, Hash128> Digests(const Index& index) {
  DigestBuilder builder;
  for (uint32_t i = 0; i < index.tensor_count(); ++i) builder.Add(index, i);
  return {builder.names(), builder.content()};
}

}  // namespace ingot

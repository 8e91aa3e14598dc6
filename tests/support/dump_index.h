// Everything that an index says, as text: what tests compare, and a way to touch every byte that its records point at.
#pragma once

#include <fmt/format.h>

#include <string>

#include "format/index.h"

namespace ingot::test {

inline std::string DumpTensors(const Index& index) {
  std::string out;
  for (uint32_t i = 0; i < index.tensor_count(); ++i) {
    const TensorRecord t = index.tensor(i);
    out += fmt::format("tensor {} {} {} parts {}+{}", t.name, t.dtype, t.axis, t.first_part, t.part_count);
    for (uint64_t dim : t.shape()) out += fmt::format(" {}", dim);
    out += fmt::format(" {} {}\n", index.IsAlias(i), index.FindTensor(t.name) == i);
  }
  for (uint32_t i = 0; i < index.count(Table::kParts); ++i)
    out += fmt::format("part {} {}\n", index.part(i).extent, index.part(i).encoding);
  for (uint32_t i = 0; i < index.count(Table::kEncodings); ++i) {
    const EncodingRecord e = index.encoding(i);
    out += fmt::format("encoding {} {} {} {}+{} {}\n", e.kind, e.flags, e.child_count, e.first_plane, e.plane_count,
                       ToHex(index.payload(e)));
  }
  return out;
}

inline std::string DumpPlanes(const Index& index) {
  std::string out;
  for (uint32_t i = 0; i < index.plane_count(); ++i) {
    const PlaneRecord p = index.plane(i);
    out += fmt::format("plane {} {} {} {} {}\n", p.offset, p.size, p.first_chunk, p.first_frame, index.stored_size(p));
  }
  for (uint32_t i = 0; i < index.count(Table::kChunks); ++i) out += ToHex(index.chunk(i)) + "\n";
  for (uint32_t i = 0; i < index.count(Table::kFrames); ++i) {
    const FrameRecord f = index.frame(i);
    out += fmt::format("frame {} {} {} {}\n", f.offset, f.size, f.method, f.hash);
  }
  return out;
}

inline std::string DumpOthers(const Index& index) {
  std::string out;
  for (uint32_t i = 0; i < index.count(Table::kMetadata); ++i) {
    const MetadataRecord m = index.metadata(i);
    out += fmt::format("metadata {} {} {} {} {}\n", m.key, m.type, m.element_type, ToHex(m.value),
                       index.FindMetadata(m.key).has_value());
  }
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) {
    out += fmt::format("attachment {} {}\n", index.attachment(i).name, index.attachment(i).plane);
  }
  for (uint32_t i = 0; i < index.count(Table::kShards); ++i) {
    const ShardRecord s = index.shard(i);
    out += fmt::format("shard {} {} {}\n", s.name, ToHex(s.names_digest), ToHex(s.content_digest));
  }
  for (uint32_t i = 0; i < index.count(Table::kSources); ++i) {
    const SourceRecord s = index.source(i);
    out += fmt::format("source {} {} {}\n", s.name, s.size, ToHex(s.hash));
  }
  for (uint32_t i = 0; i < index.count(Table::kDeadRanges); ++i) {
    out += fmt::format("dead {} {}\n", index.dead_range(i).offset, index.dead_range(i).size);
  }
  for (uint32_t i = 0; i < index.count(Table::kSha256); ++i) out += ToHex(index.sha256(i)) + "\n";
  return out;
}

inline std::string Dump(const Index& index) {
  return DumpTensors(index) + DumpPlanes(index) + DumpOthers(index) + ToHex(Digests(index).second);
}

}  // namespace ingot::test

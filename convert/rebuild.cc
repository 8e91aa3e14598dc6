#include "convert/rebuild.h"

#include <map>

namespace ingot {

WrittenPlane PlaneFrom(const Index& index, uint32_t number) {
  const PlaneRecord record = index.plane(number);
  WrittenPlane plane;
  plane.offset = record.offset;
  plane.size = record.size;
  for (uint64_t i = 0; i < record.chunk_count(); ++i) {
    plane.chunks.push_back(index.chunk(static_cast<uint32_t>(record.first_chunk + i)));
    if (record.framed()) plane.frames.push_back(index.frame(static_cast<uint32_t>(record.first_frame + i)));
  }
  if (index.count(Table::kSha256) != 0) plane.sha256 = index.sha256(number);
  return plane;
}

namespace {

class Copier {
 public:
  Copier(const Index& index, const std::function<uint64_t(uint32_t)>& place, IndexBuilder& builder)
      : index_(index), place_(place), builder_(builder) {}

  void Run() {
    builder_.RecordSha256(index_.count(Table::kSha256) != 0);
    std::map<uint32_t, uint32_t> originals;  // first part -> number
    for (uint32_t i = 0; i < index_.tensor_count(); ++i) {
      const TensorRecord t = index_.tensor(i);
      if (const auto original = originals.find(t.first_part); original != originals.end()) {
        builder_.AddAlias(std::string(t.name), std::string(builder_.NameOfTensor(original->second)));
        continue;
      }
      std::vector<IndexBuilder::Part> parts;
      for (uint32_t p = t.first_part; p < t.first_part + t.part_count; ++p) {
        const PartRecord part = index_.part(p);
        parts.push_back({part.extent, CopyEncoding(part.encoding)});
      }
      originals[t.first_part] = builder_.AddTensor(t.name, static_cast<DType>(t.dtype), t.shape(), t.axis, parts);
    }
    CopyOthers();
  }

 private:
  WrittenPlane CopyPlane(uint32_t number) {
    WrittenPlane plane = PlaneFrom(index_, number);
    plane.offset = place_(number);
    return plane;
  }

  uint32_t CopyEncoding(uint32_t number) {
    const EncodingRecord e = index_.encoding(number);
    std::vector<uint32_t> children;
    for (uint32_t c = number - e.child_count; c < number; ++c) children.push_back(CopyEncoding(c));
    std::vector<WrittenPlane> planes;
    for (uint32_t p = e.first_plane; p < e.first_plane + e.plane_count; ++p) planes.push_back(CopyPlane(p));
    return builder_.AddEncodingRecord(e.kind, e.flags, index_.payload(e), planes, children);
  }

  void CopyOthers() {
    for (uint32_t i = 0; i < index_.count(Table::kMetadata); ++i) {
      const MetadataRecord m = index_.metadata(i);
      builder_.SetMetadata(std::string(m.key), {static_cast<MetadataType>(m.type),
                                                static_cast<MetadataType>(m.element_type),
                                                {m.value.begin(), m.value.end()}});
    }
    for (uint32_t i = 0; i < index_.count(Table::kAttachments); ++i) {
      const AttachmentRecord a = index_.attachment(i);
      builder_.AddAttachment(std::string(a.name), a.plane == kNoRecord ? WrittenPlane{} : CopyPlane(a.plane));
    }
    for (uint32_t i = 0; i < index_.count(Table::kShards); ++i) {
      const ShardRecord s = index_.shard(i);
      builder_.AddShard(std::string(s.name), s.names_digest, s.content_digest);
    }
    for (uint32_t i = 0; i < index_.count(Table::kSources); ++i) {
      const SourceRecord s = index_.source(i);
      const bool hashed = index_.count(Table::kSha256) != 0;
      builder_.AddSource(std::string(s.name), s.size, s.hash,
                         hashed ? index_.sha256(index_.plane_count() + i) : Sha256{});
    }
  }

  const Index& index_;
  const std::function<uint64_t(uint32_t)>& place_;
  IndexBuilder& builder_;
};

}  // namespace

void CopyRecords(const Index& index, const std::function<uint64_t(uint32_t plane)>& place, IndexBuilder& builder) {
  Copier(index, place, builder).Run();
}

}  // namespace ingot

// Builds the bytes of an index (spec/FORMAT.md, sections 3 to 8). Not thread-safe; one owner.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/bytes.h"
#include "format/dtype.h"
#include "format/encoding.h"
#include "format/hash.h"
#include "format/index.h"

namespace ingot {

// A plane as it was written to the file.
struct WrittenPlane {
  uint64_t offset = 0;
  uint64_t size = 0;  // logical
  std::vector<Hash128> chunks;
  std::vector<FrameRecord> frames;  // empty: stored raw; else one per chunk
  Sha256 sha256{};                  // used if the builder was told to record them
};

// A typed metadata value: the bytes of section 7.
struct MetadataValue {
  MetadataType type = MetadataType::kString;
  MetadataType element_type = MetadataType::kBool;  // of an array
  std::vector<std::byte> bytes;

  static MetadataValue String(std::string_view text);
  static MetadataValue Bool(bool value);
  static MetadataValue I64(int64_t value);
  static MetadataValue U64(uint64_t value);
  static MetadataValue F64(double value);
};

// Collects records in any order and writes them in the canonical one. Numbers that it gives out are its own, not those
// of the file.
class IndexBuilder {
 public:
  // Takes an encoding over, with its planes in the order of PlanesOf. `children`: numbers of nested encodings, each
  // used once.
  uint32_t AddEncoding(EncodingKind kind, ByteSpan payload, const std::vector<WrittenPlane>& planes,
                       const std::vector<uint32_t>& children = {});
  // Copies any encoding, known or not, of another file, whose planes now lie at `planes`.
  uint32_t AddEncodingRecord(uint16_t kind, uint8_t flags, ByteSpan payload, const std::vector<WrittenPlane>& planes,
                             const std::vector<uint32_t>& children);

  struct Part {
    uint64_t extent;
    uint32_t encoding;  // as AddEncoding returned it
  };
  // Names are unique (the caller's duty: two equal ones make an invalid file). Returns the tensor's number.
  uint32_t AddTensor(std::string_view name, DType dtype, const std::vector<uint64_t>& shape, uint8_t axis,
                     const std::vector<Part>& parts);
  // A second name for a tensor that was or will be added.
  void AddAlias(std::string name, std::string original) { aliases_.emplace_back(std::move(name), std::move(original)); }
  // The name of a tensor by its number; valid until the next AddTensor.
  std::string_view NameOfTensor(uint32_t number) const { return NameOf(tensors_[number]); }

  void SetMetadata(std::string key, MetadataValue value) { metadata_[std::move(key)] = std::move(value); }
  // `plane.size` 0: an empty file.
  void AddAttachment(std::string name, const WrittenPlane& plane) {
    attachments_[std::move(name)] = plane.size == 0 ? kNoRecord : AddPlane(plane);
  }
  // False if there is none.
  bool RemoveMetadata(const std::string& key) { return metadata_.erase(key) != 0; }
  bool HasAttachment(const std::string& name) const { return attachments_.contains(name); }
  // Takes an attachment out, which must be there; returns its plane.
  WrittenPlane RemoveAttachment(const std::string& name);
  void AddShard(std::string name, const Hash128& names_digest, const Hash128& content_digest);
  void AddSource(std::string name, uint64_t size, const Hash128& hash, const Sha256& sha256);
  void AddDeadRange(uint64_t offset, uint64_t size) { dead_ranges_.push_back({offset, size}); }
  void RecordSha256(bool on) { record_sha256_ = on; }

  // The whole index. `required_features` gets the bits that its content asks for.
  std::vector<std::byte> Build(uint64_t& required_features) const;

 private:
  // Everything lies in flat tables, so that a million tensors take little more than their index does. A range is
  // [first, first + count).
  struct Range {
    uint32_t first = 0;
    uint32_t count = 0;
  };
  struct Plane {
    uint64_t offset;
    uint64_t size;
    Range chunks;
    Range frames;  // count 0: stored raw
  };
  struct Encoding {
    uint16_t kind;
    uint8_t flags;
    Range payload;  // of payloads_
    Range planes;
    Range children;  // of children_
  };
  struct Tensor {
    uint64_t name;  // where it begins in names_
    uint32_t name_size;
    DType dtype;
    uint8_t axis;
    Range dims;
    Range parts;
  };
  struct Shard {
    std::string name;
    Hash128 names_digest, content_digest;
  };
  struct Source {
    std::string name;
    uint64_t size;
    Hash128 hash;
    Sha256 sha256;
  };
  class Writer;

  uint32_t AddPlane(const WrittenPlane& plane);
  WrittenPlane PlaneAt(uint32_t number) const;
  std::string_view NameOf(const Tensor& tensor) const {
    return std::string_view(names_).substr(tensor.name, tensor.name_size);
  }

  std::vector<Plane> planes_;
  std::vector<Sha256> plane_sha256_;  // as planes_
  std::vector<Hash128> chunks_;
  std::vector<FrameRecord> frames_;
  std::vector<Encoding> encodings_;
  std::vector<std::byte> payloads_;
  std::vector<uint32_t> children_;
  std::vector<Tensor> tensors_;
  std::vector<uint64_t> dims_;
  std::vector<Part> parts_;
  std::vector<std::pair<std::string, std::string>> aliases_;  // name, original
  std::string names_;
  std::map<std::string, MetadataValue> metadata_;
  std::map<std::string, uint32_t> attachments_;  // plane, or kNoRecord for an empty file
  std::vector<Shard> shards_;
  std::vector<Source> sources_;
  std::vector<DeadRange> dead_ranges_;
  bool record_sha256_ = false;
};

}  // namespace ingot

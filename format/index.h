// The index of a file (spec/FORMAT.md, sections 3 to 8): tables of fixed-size records over one block of bytes,
// validated once, then read in place. Immutable after Open; thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "format/bytes.h"
#include "format/dtype.h"
#include "format/hash.h"
#include "format/header.h"
#include "format/layout.h"
#include "format/report.h"

namespace ingot {

struct TensorRecord {
  std::string_view name;  // lives as long as the Index
  uint8_t dtype;          // a DType once validated
  uint8_t rank;
  uint8_t axis;
  uint32_t first_part;
  uint32_t part_count;
  const std::byte* dims;  // rank times u64

  uint64_t dim(int i) const { return Load<uint64_t>(dims + 8 * i); }
  std::vector<uint64_t> shape() const;
};

struct PartRecord {
  uint64_t extent;
  uint32_t encoding;
};

enum class EncodingKind : uint16_t { kRaw = 1, kLinear = 2, kForeign = 3 };
inline constexpr uint8_t kFlagRequired = 1;

struct EncodingRecord {
  uint16_t kind;  // an EncodingKind, or one that this version does not know
  uint8_t flags;
  uint8_t child_count;  // the records directly before this one
  uint32_t first_plane;
  uint16_t plane_count;
  uint32_t payload_offset;
  uint16_t payload_size;

  bool is(EncodingKind k) const { return kind == static_cast<uint16_t>(k); }
  bool known() const { return kind >= 1 && kind <= 3; }
};

struct PlaneRecord {
  uint64_t offset;
  uint64_t size;  // logical
  uint32_t first_chunk;
  uint32_t first_frame;  // kNoRecord: stored raw

  bool framed() const { return first_frame != kNoRecord; }
  uint64_t chunk_count() const { return size / kChunkSize + (size % kChunkSize != 0); }
  // Logical bytes of chunk i of the plane.
  uint64_t chunk_size(uint64_t i) const { return i + 1 < chunk_count() ? kChunkSize : size - i * kChunkSize; }
};

enum class FrameMethod : uint8_t { kStored = 0, kZstd = 1, kZstdPlanes2 = 2, kZstdPlanes4 = 3 };

struct FrameRecord {
  uint64_t offset;  // from the start of the plane
  uint32_t size;
  uint8_t method;
  uint64_t hash;
};

enum class MetadataType : uint8_t { kBool, kU8, kI8, kU16, kI16, kU32, kI32, kU64, kI64, kF32, kF64, kString, kArray };
// Bytes of a scalar of that type; 0 for strings and arrays.
uint32_t MetadataScalarSize(uint8_t type);

struct MetadataRecord {
  std::string_view key;
  uint8_t type;          // a MetadataType once validated
  uint8_t element_type;  // of an array
  ByteSpan value;
};

struct AttachmentRecord {
  std::string_view name;
  uint32_t plane;  // kNoRecord: an empty file
};

struct ShardRecord {
  std::string_view name;
  Hash128 names_digest;
  Hash128 content_digest;
};

struct SourceRecord {
  std::string_view name;
  uint64_t size;
  Hash128 hash;
};

struct DeadRange {
  uint64_t offset;
  uint64_t size;
};

// The bytes of an index and who owns them.
struct IndexBytes {
  std::shared_ptr<const void> owner;
  ByteSpan bytes;
};

class Index {
 public:
  // What of an index can be used after violations were found.
  struct Soundness {
    bool planes = false;                  // planes, chunks and frames can be read
    bool tensors = false;                 // so can all other tables
    std::vector<uint32_t> bad_encodings;  // roots whose content is not to be looked at, ascending
  };

  // Reads the directory and validates every record, reporting each violation until `report` is full. Without a
  // violation everything below may be used without further checks. Returns nothing if the tables cannot even be found.
  // O(size of the index).
  static std::optional<Index> Open(IndexBytes bytes, const Header& header, Report& report,
                                   Soundness* soundness = nullptr);

  uint64_t count(Table table) const { return view(table).count; }
  uint32_t tensor_count() const { return static_cast<uint32_t>(count(Table::kTensors)); }
  uint32_t plane_count() const { return static_cast<uint32_t>(count(Table::kPlanes)); }

  TensorRecord tensor(uint32_t i) const;
  PartRecord part(uint32_t i) const;
  EncodingRecord encoding(uint32_t i) const;
  PlaneRecord plane(uint32_t i) const;
  Hash128 chunk(uint32_t i) const;
  FrameRecord frame(uint32_t i) const;
  MetadataRecord metadata(uint32_t i) const;
  AttachmentRecord attachment(uint32_t i) const;
  ShardRecord shard(uint32_t i) const;
  SourceRecord source(uint32_t i) const;
  DeadRange dead_range(uint32_t i) const;
  Sha256 sha256(uint32_t i) const;

  ByteSpan payload(const EncodingRecord& encoding) const;
  // Bytes that a plane takes in the file.
  uint64_t stored_size(const PlaneRecord& plane) const;
  // The tensor of that name, by binary search.
  std::optional<uint32_t> FindTensor(std::string_view name) const;
  // Whether an earlier tensor has the same parts (a tied tensor: stored and counted once).
  bool IsAlias(uint32_t tensor) const { return std::binary_search(aliases_.begin(), aliases_.end(), tensor); }
  std::optional<MetadataRecord> FindMetadata(std::string_view key) const;

  const Header& header() const { return header_; }
  ByteSpan bytes() const { return bytes_.bytes; }
  // Where a table lies in bytes(), for dumps.
  uint64_t table_offset(Table table) const;
  uint32_t record_size(Table table) const { return view(table).stride; }

 private:
  friend class IndexChecker;
  struct TableView {
    const std::byte* data = nullptr;
    uint64_t count = 0;
    uint32_t stride = 0;
  };
  Index(IndexBytes bytes, const Header& header) : bytes_(std::move(bytes)), header_(header) {}
  const TableView& view(Table table) const { return tables_[static_cast<size_t>(table)]; }
  const std::byte* record(Table table, uint64_t i) const { return view(table).data + i * view(table).stride; }
  std::string_view heap_text(uint64_t offset, uint64_t size) const;

  IndexBytes bytes_;
  Header header_;
  std::array<TableView, kTables.size() + 1> tables_;
  std::vector<uint32_t> aliases_;  // ascending
};

// ---- the records, read in place

inline std::string_view Index::heap_text(uint64_t offset, uint64_t size) const {
  return AsText({view(Table::kHeap).data + offset, size});
}

inline TensorRecord Index::tensor(uint32_t i) const {
  const std::byte* at = record(Table::kTensors, i);
  TensorRecord t;
  const uint32_t heap = Load<uint32_t>(at);
  const uint16_t name_size = Load<uint16_t>(at + 4);
  t.name = heap_text(heap, name_size);
  t.dims = view(Table::kHeap).data + heap + name_size;
  t.dtype = Load<uint8_t>(at + 6);
  t.rank = Load<uint8_t>(at + 7);
  t.axis = Load<uint8_t>(at + 8);
  t.first_part = Load<uint32_t>(at + 12);
  t.part_count = Load<uint32_t>(at + 16);
  return t;
}

inline PartRecord Index::part(uint32_t i) const {
  const std::byte* at = record(Table::kParts, i);
  return {Load<uint64_t>(at), Load<uint32_t>(at + 8)};
}

inline EncodingRecord Index::encoding(uint32_t i) const {
  const std::byte* at = record(Table::kEncodings, i);
  EncodingRecord e;
  e.kind = Load<uint16_t>(at);
  e.flags = Load<uint8_t>(at + 2);
  e.child_count = Load<uint8_t>(at + 3);
  e.first_plane = Load<uint32_t>(at + 4);
  e.payload_offset = Load<uint32_t>(at + 8);
  e.payload_size = Load<uint16_t>(at + 12);
  e.plane_count = Load<uint16_t>(at + 14);
  return e;
}

inline PlaneRecord Index::plane(uint32_t i) const {
  const std::byte* at = record(Table::kPlanes, i);
  return {Load<uint64_t>(at), Load<uint64_t>(at + 8), Load<uint32_t>(at + 16), Load<uint32_t>(at + 20)};
}

inline Hash128 Index::chunk(uint32_t i) const {
  const std::byte* at = record(Table::kChunks, i);
  return {Load<uint64_t>(at), Load<uint64_t>(at + 8)};
}

inline FrameRecord Index::frame(uint32_t i) const {
  const std::byte* at = record(Table::kFrames, i);
  return {Load<uint64_t>(at), Load<uint32_t>(at + 8), Load<uint8_t>(at + 12), Load<uint64_t>(at + 16)};
}

inline ByteSpan Index::payload(const EncodingRecord& encoding) const {
  return {view(Table::kHeap).data + encoding.payload_offset, encoding.payload_size};
}

inline uint64_t Index::stored_size(const PlaneRecord& plane) const {
  if (!plane.framed()) return plane.size;
  const FrameRecord last = frame(static_cast<uint32_t>(plane.first_frame + plane.chunk_count() - 1));
  return last.offset + last.size;
}

// Elements of a tensor: the product of its dimensions. Must not overflow (R-TEN-5).
uint64_t ElementCount(const TensorRecord& tensor);
// Elements of one of its parts.
uint64_t ElementCount(const TensorRecord& tensor, const PartRecord& part);

// The two digests of spec/FORMAT.md, section 9, over tensors of one or more files: feed every tensor in the order of
// their names.
class DigestBuilder {
 public:
  void Add(const Index& index, uint32_t tensor);
  Hash128 names() const { return names_.Digest(); }
  Hash128 content() const { return content_.Digest(); }

 private:
  void AddEncoding(const Index& index, uint32_t encoding, std::vector<std::byte>& text);
  Xxh3Stream names_, content_;
  std::vector<std::byte> scratch_;
};

// Names and content digest of one file without shards.
std::pair<Hash128, Hash128> Digests(const Index& index);

}  // namespace ingot

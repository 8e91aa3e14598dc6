#include "format/index_builder.h"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace ingot {

MetadataValue MetadataValue::String(std::string_view text) {
  MetadataValue v;
  Append(v.bytes, AsBytes(text));
  return v;
}

namespace {

template <typename T>
MetadataValue Scalar(MetadataType type, T value) {
  MetadataValue v;
  v.type = type;
  Append(v.bytes, value);
  return v;
}

template <typename T>
std::vector<const T*> SortedByName(const std::vector<T>& items) {
  std::vector<const T*> out;
  for (const T& item : items) out.push_back(&item);
  std::sort(out.begin(), out.end(), [](const T* a, const T* b) { return a->name < b->name; });
  return out;
}

}  // namespace

MetadataValue MetadataValue::Bool(bool value) { return Scalar(MetadataType::kBool, static_cast<uint8_t>(value)); }
MetadataValue MetadataValue::I64(int64_t value) { return Scalar(MetadataType::kI64, value); }
MetadataValue MetadataValue::U64(uint64_t value) { return Scalar(MetadataType::kU64, value); }
MetadataValue MetadataValue::F64(double value) { return Scalar(MetadataType::kF64, value); }

uint32_t IndexBuilder::AddEncoding(EncodingKind kind, std::vector<std::byte> payload, std::vector<WrittenPlane> planes,
                                   std::vector<uint32_t> children) {
  return AddEncodingRecord(static_cast<uint16_t>(kind), kFlagRequired, std::move(payload), std::move(planes), std::move(children));
}

uint32_t IndexBuilder::AddEncodingRecord(uint16_t kind, uint8_t flags, std::vector<std::byte> payload, std::vector<WrittenPlane> planes,
                                         std::vector<uint32_t> children) {
  encodings_.push_back({kind, flags, std::move(payload), std::move(planes), std::move(children)});
  return static_cast<uint32_t>(encodings_.size() - 1);
}

void IndexBuilder::AddTensor(std::string name, DType dtype, std::vector<uint64_t> shape, uint8_t axis, std::vector<Part> parts) {
  tensors_.push_back({std::move(name), dtype, std::move(shape), axis, std::move(parts), {}});
}

void IndexBuilder::AddAlias(std::string name, std::string original) {
  tensors_.push_back({std::move(name), DType::kF32, {}, 0, {}, std::move(original)});
}

WrittenPlane IndexBuilder::RemoveAttachment(const std::string& name) {
  auto node = attachments_.extract(name);
  return std::move(node.mapped());
}

void IndexBuilder::AddShard(std::string name, const Hash128& names_digest, const Hash128& content_digest) {
  shards_.push_back({std::move(name), names_digest, content_digest});
}

void IndexBuilder::AddSource(std::string name, uint64_t size, const Hash128& hash, const Sha256& sha256) {
  sources_.push_back({std::move(name), size, hash, sha256});
}

// One writing of the tables. Planes are numbered by their offsets first, then every other table follows in name order.
class IndexBuilder::Writer {
 public:
  explicit Writer(const IndexBuilder& b) : b_(b) {
    for (const Encoding& e : b.encodings_) {
      for (const WrittenPlane& p : e.planes) planes_.push_back(&p);
    }
    for (const auto& [name, p] : b.attachments_) {
      if (p.size != 0) planes_.push_back(&p);
    }
    std::sort(planes_.begin(), planes_.end(), [](const WrittenPlane* a, const WrittenPlane* c) { return a->offset < c->offset; });
    for (const WrittenPlane* p : planes_) {
      numbers_[p] = static_cast<uint32_t>(numbers_.size());
    }
  }

  void WriteAll() {
    WritePlanes();
    WriteTensors();
    for (const auto& [key, value] : b_.metadata_) WriteMetadata(key, value);
    for (const auto& [name, plane] : b_.attachments_) {
      auto& out = table(Table::kAttachments);
      AppendName(out, name);
      Append(out, uint16_t{0});
      Append(out, plane.size == 0 ? kNoRecord : numbers_.at(&plane));
    }
    for (const Shard* s : SortedByName(b_.shards_)) {
      auto& out = table(Table::kShards);
      AppendName(out, s->name);
      Append(out, uint16_t{0});
      AppendHash(out, s->names_digest);
      AppendHash(out, s->content_digest);
    }
    for (const Source* s : SortedByName(b_.sources_)) {
      auto& out = table(Table::kSources);
      AppendName(out, s->name);
      Append(out, uint16_t{0});
      Append(out, s->size);
      AppendHash(out, s->hash);
    }
    std::vector<DeadRange> dead = b_.dead_ranges_;
    std::sort(dead.begin(), dead.end(), [](const DeadRange& a, const DeadRange& c) { return a.offset < c.offset; });
    for (const DeadRange& d : dead) {
      Append(table(Table::kDeadRanges), d.offset);
      Append(table(Table::kDeadRanges), d.size);
    }
    if (b_.record_sha256_) {
      for (const WrittenPlane* p : planes_) Append(table(Table::kSha256), p->sha256);
      for (const Source* s : SortedByName(b_.sources_)) Append(table(Table::kSha256), s->sha256);
    }
    JoinHeap();
  }

  std::vector<std::byte> Assemble() const {
    uint32_t present = 0;
    for (const auto& t : tables_) present += !t.empty();
    std::vector<std::byte> out;
    Append(out, present);
    Append(out, uint32_t{0});
    uint64_t at = kIndexHeadSize + kDirectoryEntrySize * present;
    for (const TableInfo& info : kTables) {
      const auto& t = tables_[static_cast<size_t>(info.table)];
      if (t.empty()) continue;
      at = (at + 7) & ~uint64_t{7};
      Append(out, static_cast<uint32_t>(info.table));
      Append(out, info.record_size);
      Append(out, at);
      Append(out, uint64_t{t.size() / info.record_size});
      at += t.size();
    }
    out.reserve(at);
    for (const TableInfo& info : kTables) {
      const auto& t = tables_[static_cast<size_t>(info.table)];
      if (t.empty()) continue;
      out.resize((out.size() + 7) & ~size_t{7});
      Append(out, ByteSpan(t));
    }
    return out;
  }

  bool has(Table t) const { return !tables_[static_cast<size_t>(t)].empty(); }

 private:
  // Where the pieces of each owning table are gathered; they are joined in the order of the tables at the end.
  enum Pieces { kOfTensors, kOfEncodings, kOfOthers, kPieceLists };

  std::vector<std::byte>& table(Table t) { return tables_[static_cast<size_t>(t)]; }
  static void Append(std::vector<std::byte>& out, const Sha256& sha) { ingot::Append(out, ByteSpan(sha)); }
  static void Append(std::vector<std::byte>& out, ByteSpan bytes) { ingot::Append(out, bytes); }
  template <typename T>
  static void Append(std::vector<std::byte>& out, T value) {
    ingot::Append(out, value);
  }
  static void AppendHash(std::vector<std::byte>& out, const Hash128& hash) {
    Append(out, hash.low);
    Append(out, hash.high);
  }

  // A heap offset within its list of pieces; JoinHeap adds where the list begins.
  uint32_t AddPiece(Pieces list, ByteSpan bytes) {
    const auto offset = static_cast<uint32_t>(pieces_[list].size());
    Append(pieces_[list], bytes);
    return offset;
  }

  void AppendName(std::vector<std::byte>& out, const std::string& name) {
    Append(out, AddPiece(kOfOthers, AsBytes(name)));
    Append(out, static_cast<uint16_t>(name.size()));
  }

  void WritePlanes() {
    uint32_t chunk = 0, frame = 0;
    for (const WrittenPlane* p : planes_) {
      auto& out = table(Table::kPlanes);
      Append(out, p->offset);
      Append(out, p->size);
      Append(out, chunk);
      Append(out, p->frames.empty() ? kNoRecord : frame);
      for (const Hash128& hash : p->chunks) AppendHash(table(Table::kChunks), hash);
      for (const FrameRecord& f : p->frames) {
        auto& frames = table(Table::kFrames);
        Append(frames, f.offset);
        Append(frames, f.size);
        Append(frames, uint32_t{f.method});
        Append(frames, f.hash);
      }
      chunk += static_cast<uint32_t>(p->chunks.size());
      frame += static_cast<uint32_t>(p->frames.size());
    }
  }

  // The record of one encoding, its children first.
  uint32_t WriteEncoding(const Encoding& e) {
    for (uint32_t child : e.children) WriteEncoding(b_.encodings_[child]);
    auto& out = table(Table::kEncodings);
    Append(out, e.kind);
    Append(out, e.flags);
    Append(out, static_cast<uint8_t>(e.children.size()));
    Append(out, e.planes.empty() ? 0 : numbers_.at(&e.planes.front()));
    Append(out, AddPiece(kOfEncodings, e.payload));
    Append(out, static_cast<uint16_t>(e.payload.size()));
    Append(out, static_cast<uint16_t>(e.planes.size()));
    return encoding_count_++;
  }

  void WriteTensors() {
    struct Run {
      const Tensor* tensor;
      uint32_t first, count;
    };
    std::unordered_map<std::string_view, const Tensor*> originals;
    for (const Tensor& t : b_.tensors_) {
      if (t.original.empty() || !t.parts.empty()) originals[t.name] = &t;
    }
    std::unordered_map<const Tensor*, Run> runs;
    uint32_t part_count = 0;
    for (const Tensor* t : SortedByName(b_.tensors_)) {
      const Tensor* content = t->parts.empty() ? originals.at(t->original) : t;
      auto [run, is_new] = runs.try_emplace(content, Run{content, part_count, static_cast<uint32_t>(content->parts.size())});
      if (is_new) {
        for (const Part& p : content->parts) {
          const uint32_t number = WriteEncoding(b_.encodings_[p.encoding]);
          Append(table(Table::kParts), p.extent);
          Append(table(Table::kParts), number);
        }
        part_count += run->second.count;
      }
      WriteTensor(t->name, *content, run->second.first, run->second.count);
    }
  }

  void WriteTensor(const std::string& name, const Tensor& content, uint32_t first_part, uint32_t part_count) {
    auto& out = table(Table::kTensors);
    Append(out, AddPiece(kOfTensors, AsBytes(name)));
    for (uint64_t dim : content.shape) Append(pieces_[kOfTensors], dim);
    Append(out, static_cast<uint16_t>(name.size()));
    Append(out, static_cast<uint8_t>(content.dtype));
    Append(out, static_cast<uint8_t>(content.shape.size()));
    Append(out, uint32_t{content.axis});
    Append(out, first_part);
    Append(out, part_count);
  }

  void WriteMetadata(const std::string& key, const MetadataValue& value) {
    auto& out = table(Table::kMetadata);
    Append(out, AddPiece(kOfOthers, AsBytes(key)));
    Append(pieces_[kOfOthers], ByteSpan(value.bytes));
    Append(out, static_cast<uint16_t>(key.size()));
    Append(out, static_cast<uint8_t>(value.type));
    Append(out, value.type == MetadataType::kArray ? static_cast<uint8_t>(value.element_type) : uint8_t{0});
    Append(out, static_cast<uint32_t>(value.bytes.size()));
  }

  void Shift(Table t, uint32_t offset_at, uint64_t by) {
    auto& records = table(t);
    const uint32_t size = kTables[static_cast<size_t>(t) - 1].record_size;
    for (size_t at = offset_at; at < records.size(); at += size) {
      Store(records.data() + at, static_cast<uint32_t>(Load<uint32_t>(records.data() + at) + by));
    }
  }

  void JoinHeap() {
    const uint64_t encodings_at = pieces_[kOfTensors].size(), others_at = encodings_at + pieces_[kOfEncodings].size();
    Shift(Table::kEncodings, 8, encodings_at);
    for (Table t : {Table::kMetadata, Table::kAttachments, Table::kShards, Table::kSources}) Shift(t, 0, others_at);
    for (const auto& list : pieces_) Append(table(Table::kHeap), ByteSpan(list));
  }

  const IndexBuilder& b_;
  std::vector<const WrittenPlane*> planes_;
  std::unordered_map<const WrittenPlane*, uint32_t> numbers_;
  std::array<std::vector<std::byte>, kTables.size() + 1> tables_;
  std::array<std::vector<std::byte>, kPieceLists> pieces_;
  uint32_t encoding_count_ = 0;
};

std::vector<std::byte> IndexBuilder::Build(uint64_t& required_features) const {
  Writer writer(*this);
  writer.WriteAll();
  required_features = (writer.has(Table::kShards) ? kFeatureShards : 0) | (writer.has(Table::kFrames) ? kFeatureZstd : 0);
  return writer.Assemble();
}

}  // namespace ingot

#include "format/index_builder.h"

#include <algorithm>
#include <array>
#include <numeric>

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

uint32_t IndexBuilder::AddPlane(const WrittenPlane& plane) {
  Plane p{plane.offset,
          plane.size,
          {static_cast<uint32_t>(chunks_.size()), static_cast<uint32_t>(plane.chunks.size())},
          {static_cast<uint32_t>(frames_.size()), static_cast<uint32_t>(plane.frames.size())}};
  chunks_.insert(chunks_.end(), plane.chunks.begin(), plane.chunks.end());
  frames_.insert(frames_.end(), plane.frames.begin(), plane.frames.end());
  plane_sha256_.push_back(plane.sha256);
  planes_.push_back(p);
  return static_cast<uint32_t>(planes_.size() - 1);
}

WrittenPlane IndexBuilder::PlaneAt(uint32_t number) const {
  const Plane& p = planes_[number];
  WrittenPlane out;
  out.offset = p.offset;
  out.size = p.size;
  out.chunks.assign(chunks_.begin() + p.chunks.first, chunks_.begin() + p.chunks.first + p.chunks.count);
  out.frames.assign(frames_.begin() + p.frames.first, frames_.begin() + p.frames.first + p.frames.count);
  out.sha256 = plane_sha256_[number];
  return out;
}

uint32_t IndexBuilder::AddEncoding(EncodingKind kind, ByteSpan payload, const std::vector<WrittenPlane>& planes,
                                   const std::vector<uint32_t>& children) {
  return AddEncodingRecord(static_cast<uint16_t>(kind), kFlagRequired, payload, planes, children);
}

uint32_t IndexBuilder::AddEncodingRecord(uint16_t kind, uint8_t flags, ByteSpan payload,
                                         const std::vector<WrittenPlane>& planes,
                                         const std::vector<uint32_t>& children) {
  Encoding e{kind, flags, {}, {}, {}};
  e.payload = {static_cast<uint32_t>(payloads_.size()), static_cast<uint32_t>(payload.size())};
  Append(payloads_, payload);
  e.children = {static_cast<uint32_t>(children_.size()), static_cast<uint32_t>(children.size())};
  children_.insert(children_.end(), children.begin(), children.end());
  e.planes = {static_cast<uint32_t>(planes_.size()), static_cast<uint32_t>(planes.size())};
  for (const WrittenPlane& plane : planes) AddPlane(plane);
  encodings_.push_back(e);
  return static_cast<uint32_t>(encodings_.size() - 1);
}

uint32_t IndexBuilder::AddTensor(std::string_view name, DType dtype, const std::vector<uint64_t>& shape, uint8_t axis,
                                 const std::vector<Part>& parts) {
  const auto number = static_cast<uint32_t>(tensors_.size());
  Tensor t{names_.size(), static_cast<uint32_t>(name.size()), dtype, axis, {}, {}};
  names_ += name;
  t.dims = {static_cast<uint32_t>(dims_.size()), static_cast<uint32_t>(shape.size())};
  dims_.insert(dims_.end(), shape.begin(), shape.end());
  t.parts = {static_cast<uint32_t>(parts_.size()), static_cast<uint32_t>(parts.size())};
  parts_.insert(parts_.end(), parts.begin(), parts.end());
  tensors_.push_back(t);
  return number;
}

WrittenPlane IndexBuilder::RemoveAttachment(const std::string& name) {
  const auto node = attachments_.extract(name);
  if (node.mapped() == kNoRecord) return {};
  WrittenPlane plane = PlaneAt(node.mapped());
  planes_[node.mapped()].size = 0;  // no record of it is written
  return plane;
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
  explicit Writer(const IndexBuilder& b) : b_(b), numbers_(b.planes_.size()) {
    for (uint32_t i = 0; i < b.planes_.size(); ++i) {
      if (b.planes_[i].size != 0) order_.push_back(i);
    }
    std::sort(order_.begin(), order_.end(),
              [&](uint32_t i, uint32_t j) { return b.planes_[i].offset < b.planes_[j].offset; });
    for (uint32_t i = 0; i < order_.size(); ++i) numbers_[order_[i]] = i;
  }

  void WriteAll() {
    WritePlanes();
    WriteTensors();
    for (const auto& [key, value] : b_.metadata_) WriteMetadata(key, value);
    for (const auto& [name, plane] : b_.attachments_) {
      auto& out = table(Table::kAttachments);
      AppendName(out, name);
      Append(out, uint16_t{0});
      Append(out, plane == kNoRecord ? kNoRecord : numbers_[plane]);
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
      for (uint32_t p : order_) Append(table(Table::kSha256), b_.plane_sha256_[p]);
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
    for (uint32_t number : order_) {
      const Plane& p = b_.planes_[number];
      auto& out = table(Table::kPlanes);
      Append(out, p.offset);
      Append(out, p.size);
      Append(out, chunk);
      Append(out, p.frames.count == 0 ? kNoRecord : frame);
      for (uint32_t c = p.chunks.first; c < p.chunks.first + p.chunks.count; ++c)
        AppendHash(table(Table::kChunks), b_.chunks_[c]);
      for (uint32_t f = p.frames.first; f < p.frames.first + p.frames.count; ++f) {
        auto& frames = table(Table::kFrames);
        Append(frames, b_.frames_[f].offset);
        Append(frames, b_.frames_[f].size);
        Append(frames, uint32_t{b_.frames_[f].method});
        Append(frames, b_.frames_[f].hash);
      }
      chunk += p.chunks.count;
      frame += p.frames.count;
    }
  }

  // The record of one encoding, its children first.
  uint32_t WriteEncoding(const Encoding& e) {
    for (uint32_t c = e.children.first; c < e.children.first + e.children.count; ++c)
      WriteEncoding(b_.encodings_[b_.children_[c]]);
    auto& out = table(Table::kEncodings);
    Append(out, e.kind);
    Append(out, e.flags);
    Append(out, static_cast<uint8_t>(e.children.count));
    Append(out, e.planes.count == 0 ? 0 : numbers_[e.planes.first]);
    Append(out, AddPiece(kOfEncodings, ByteSpan(b_.payloads_).subspan(e.payload.first, e.payload.count)));
    Append(out, static_cast<uint16_t>(e.payload.count));
    Append(out, static_cast<uint16_t>(e.planes.count));
    return encoding_count_++;
  }

  // A name, and the tensor that it stands for.
  struct Entry {
    std::string_view name;
    uint32_t tensor;
  };

  std::vector<Entry> SortedNames() const {
    const auto by_name = [](const Entry& a, const Entry& c) { return a.name < c.name; };
    std::vector<Entry> entries;
    for (uint32_t i = 0; i < b_.tensors_.size(); ++i) entries.push_back({b_.NameOf(b_.tensors_[i]), i});
    std::sort(entries.begin(), entries.end(), by_name);
    std::vector<Entry> aliases;
    for (const auto& [name, original] : b_.aliases_) {
      const auto at = std::lower_bound(entries.begin(), entries.end(), Entry{original, 0}, by_name);
      if (at != entries.end() && at->name == original) aliases.push_back({name, at->tensor});
    }
    entries.insert(entries.end(), aliases.begin(), aliases.end());
    std::sort(entries.begin(), entries.end(), by_name);
    return entries;
  }

  void WriteTensors() {
    std::vector<uint32_t> runs(b_.tensors_.size(), kNoRecord);  // the first part of each tensor, once written
    uint32_t part_count = 0;
    for (const Entry& entry : SortedNames()) {
      const Tensor& t = b_.tensors_[entry.tensor];
      uint32_t& run = runs[entry.tensor];
      if (run == kNoRecord) {
        run = part_count;
        for (uint32_t p = t.parts.first; p < t.parts.first + t.parts.count; ++p) {
          const uint32_t encoding = WriteEncoding(b_.encodings_[b_.parts_[p].encoding]);
          Append(table(Table::kParts), b_.parts_[p].extent);
          Append(table(Table::kParts), encoding);
        }
        part_count += t.parts.count;
      }
      WriteTensor(entry.name, t, run);
    }
  }

  void WriteTensor(std::string_view name, const Tensor& t, uint32_t first_part) {
    auto& out = table(Table::kTensors);
    Append(out, AddPiece(kOfTensors, AsBytes(name)));
    for (uint32_t d = t.dims.first; d < t.dims.first + t.dims.count; ++d) Append(pieces_[kOfTensors], b_.dims_[d]);
    Append(out, static_cast<uint16_t>(name.size()));
    Append(out, static_cast<uint8_t>(t.dtype));
    Append(out, static_cast<uint8_t>(t.dims.count));
    Append(out, uint32_t{t.axis});
    Append(out, first_part);
    Append(out, t.parts.count);
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
  std::vector<uint32_t> order_;    // of planes, by their offsets
  std::vector<uint32_t> numbers_;  // of each plane in that order
  std::array<std::vector<std::byte>, kTables.size() + 1> tables_;
  std::array<std::vector<std::byte>, kPieceLists> pieces_;
  uint32_t encoding_count_ = 0;
};

std::vector<std::byte> IndexBuilder::Build(uint64_t& required_features) const {
  Writer writer(*this);
  writer.WriteAll();
  required_features =
      (writer.has(Table::kShards) ? kFeatureShards : 0) | (writer.has(Table::kFrames) ? kFeatureZstd : 0);
  return writer.Assemble();
}

}  // namespace ingot

#include "tools/hex_dump.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "format/checked.h"
#include "format/encoding.h"
#include "format/header.h"
#include "format/index.h"
#include "format/report.h"
#include "format/text.h"
#include "runtime/container.h"
#include "tools/output.h"
#include "tools/record_fields.h"

namespace ingot {
namespace {

constexpr uint64_t kMostRecords = 16;  // of a table
constexpr size_t kLine = 16;           // bytes
constexpr size_t kMostBytes = 256;     // of one value of the heap

// Prints rows of a block of bytes that starts at `base` of the file.
class Dump {
 public:
  Dump(ByteSpan bytes, uint64_t base) : bytes_(bytes), base_(base) {}

  static void Title(const std::string& text) { Print("\n    {}\n", Bold(text)); }

  uint64_t at() const { return at_; }
  void Seek(uint64_t at) { at_ = at; }
  uint64_t left() const { return bytes_.size() - at_; }
  ByteSpan Peek(uint64_t size) const { return bytes_.subspan(at_, std::min(size, left())); }

  // The next `size` bytes, or what there is of them, with their meaning.
  void Row(uint64_t size, const std::string& meaning) {
    const ByteSpan bytes = Peek(size);
    const bool zero = std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
    if (zero && bytes.size() > kLine) {
      Line(0, fmt::format("00 x {}", bytes.size()), meaning);
    } else {
      for (size_t i = 0; i < std::min(bytes.size(), kMostBytes); i += kLine) {
        std::string hex;
        for (std::byte b : bytes.subspan(i, std::min(kLine, bytes.size() - i))) {
          hex += fmt::format("{}{:02x}", hex.empty() ? "" : " ", static_cast<unsigned>(b));
        }
        Line(i, hex, i == 0 ? meaning : "");
      }
      if (bytes.size() > kMostBytes) Line(kMostBytes, fmt::format("... {} more bytes", bytes.size() - kMostBytes), "");
    }
    if (bytes.size() < size) Print("        (cut off: {} of {} bytes are there)\n", bytes.size(), size);
    at_ += bytes.size();
  }

  void Fields(std::span<const Field> fields) {
    for (const Field& field : fields) {
      if (left() == 0) return;
      const bool reserved = field.form == FieldForm::kReserved;
      std::string text = reserved ? "reserved" : field.name;
      if (const ByteSpan bytes = Peek(field.size); bytes.size() == field.size) {
        const std::string meaning = Explain(field, bytes);
        if (!meaning.empty()) text += ": " + meaning;
      }
      Row(field.size, text);
    }
  }

  // Bytes up to `end`, which should be zero.
  void FillTo(uint64_t end, const std::string& meaning) {
    if (end > at_) Row(end - at_, meaning);
  }

 private:
  void Line(uint64_t offset, const std::string& hex, const std::string& meaning) {
    const std::string line = fmt::format("{:<47}  {}", hex, meaning);
    Print("{}  {}\n", Dim(fmt::format("{:08x}", base_ + at_ + offset)), line.substr(0, line.find_last_not_of(' ') + 1));
  }

  ByteSpan bytes_;
  uint64_t base_;
  uint64_t at_ = 0;
};

struct TableEntry {
  uint32_t kind;
  uint32_t record_size;
  uint64_t offset;
  uint64_t count;
  bool known() const { return kind >= 1 && kind <= kTables.size(); }
  Table table() const { return static_cast<Table>(kind); }
  std::string name() const { return known() ? kTables[kind - 1].name : fmt::format("table of kind {}", kind); }
};

// Dumps the index; trusts nothing in it.
class IndexDump {
 public:
  IndexDump(ByteSpan bytes, uint64_t base) : bytes_(bytes), dump_(bytes, base) {}

  void Run() {
    Dump::Title("index");
    constexpr Field kHead[] = {{"table count", 4}, {"", 4, FieldForm::kReserved}};
    const uint64_t count = bytes_.size() >= 4 ? Load<uint32_t>(bytes_.data()) : 0;
    dump_.Fields(kHead);
    const uint64_t most = std::min<uint64_t>(count, 2 * kTables.size());  // more is no directory
    for (uint64_t i = 0; i < most && dump_.left() >= kDirectoryEntrySize; ++i) {
      const std::byte* at = dump_.Peek(kDirectoryEntrySize).data();
      const TableEntry entry{Load<uint32_t>(at), Load<uint32_t>(at + 4), Load<uint64_t>(at + 8),
                             Load<uint64_t>(at + 16)};
      tables_.push_back(entry);
      Dump::Title(fmt::format("directory entry {}: {}", i, entry.name()));
      dump_.Fields(DirectoryFields());
    }
    for (const TableEntry& entry : tables_) DumpTable(entry);
  }

 private:
  struct HeapPiece {
    uint64_t offset, size;
    std::string meaning;
    std::span<const Field> fields;  // of a payload
  };

  const TableEntry* Find(Table table) const {
    for (const TableEntry& entry : tables_) {
      if (entry.kind == static_cast<uint32_t>(table)) return &entry;
    }
    return nullptr;
  }

  // Record `i` of a table, if all its fields lie in the index.
  std::optional<ByteSpan> Record(const TableEntry& entry, uint64_t i) const {
    const auto offset = CheckedMul(i, entry.record_size);
    const auto at = offset ? CheckedAdd(entry.offset, *offset) : std::nullopt;
    if (!entry.known() || entry.record_size < kTables[entry.kind - 1].record_size || i >= entry.count)
      return std::nullopt;
    if (!at || !InRange(*at, entry.record_size, bytes_.size())) return std::nullopt;
    return bytes_.subspan(*at, entry.record_size);
  }

  std::string HeapText(uint64_t offset, uint64_t size) const {
    const TableEntry* heap = Find(Table::kHeap);
    if (heap == nullptr || !InRange(heap->offset, heap->count, bytes_.size()) || !InRange(offset, size, heap->count))
      return "";
    return fmt::format("'{}'", Escape(AsText(bytes_.subspan(heap->offset + offset, size)), 60));
  }

  // The name or key of a record that has one.
  std::string NameOf(Table table, ByteSpan record) const {
    constexpr std::array kNamed = {Table::kTensors, Table::kMetadata, Table::kAttachments, Table::kShards,
                                   Table::kSources};
    if (std::find(kNamed.begin(), kNamed.end(), table) == kNamed.end()) return "";
    return HeapText(NumberIn(record.first(4)), NumberIn(record.subspan(4, 2)));
  }

  // The pieces of the heap that a record owns (spec/FORMAT.md, section 3).
  std::vector<HeapPiece> PiecesOf(Table table, uint64_t i, ByteSpan record) const {
    const auto at = [&](size_t offset, size_t size) { return NumberIn(record.subspan(offset, size)); };
    const auto name = [&](const char* what) -> HeapPiece {
      return {at(0, 4), at(4, 2), fmt::format("{} {}: {}", what, i, HeapText(at(0, 4), at(4, 2))), {}};
    };
    switch (table) {
      case Table::kTensors: {
        std::vector<HeapPiece> pieces = {name("name of tensor")};
        for (uint64_t d = 0; d < at(7, 1); ++d)
          pieces.push_back({at(0, 4) + at(4, 2) + 8 * d, 8, fmt::format("its dimension {}", d), {}});
        return pieces;
      }
      case Table::kEncodings: {
        const uint64_t kind = at(0, 2), size = at(12, 2);
        const bool linear = kind == 2 && size >= kLinearPayloadSize, foreign = kind == 3 && size >= kForeignPayloadSize;
        return {{at(8, 4), size, fmt::format("payload of encoding {}", i),
                 linear    ? LinearFields()
                 : foreign ? ForeignFields()
                           : std::span<const Field>{}}};
      }
      case Table::kMetadata: {
        const HeapPiece key = name("key");
        return {key, {key.offset + key.size, at(8, 4), "its value: " + HeapText(key.offset + key.size, at(8, 4)), {}}};
      }
      case Table::kAttachments:
        return {name("name of attachment")};
      case Table::kShards:
        return {name("name of shard")};
      case Table::kSources:
        return {name("name of source")};
      default:
        return {};
    }
  }

  void DumpHeap(const TableEntry& heap) {
    const uint64_t end = heap.offset + heap.count;
    for (Table table :
         {Table::kTensors, Table::kEncodings, Table::kMetadata, Table::kAttachments, Table::kShards, Table::kSources}) {
      const TableEntry* entry = Find(table);
      if (entry == nullptr) continue;
      for (uint64_t i = 0; i < std::min(entry->count, kMostRecords); ++i) {
        const auto record = Record(*entry, i);
        if (!record) break;
        for (const HeapPiece& piece : PiecesOf(table, i, *record)) DumpPiece(heap, piece);
      }
      if (entry->count > kMostRecords)
        Print("          ... pieces of {} more {}\n", Grouped(entry->count - kMostRecords), entry->name());
    }
    dump_.Seek(std::max(dump_.at(), std::min(end, uint64_t{bytes_.size()})));
  }

  void DumpPiece(const TableEntry& heap, const HeapPiece& piece) {
    if (piece.size == 0) return;
    if (!InRange(piece.offset, piece.size, heap.count)) {
      Print("          {}: byte {}, size {}: outside the heap\n", piece.meaning, piece.offset, piece.size);
      return;
    }
    dump_.Seek(heap.offset + piece.offset);
    if (piece.fields.empty()) {
      std::string meaning = piece.meaning;
      if (meaning.starts_with("its dimension")) meaning += fmt::format(": {}", NumberIn(dump_.Peek(8)));
      dump_.Row(piece.size, meaning);
      return;
    }
    Dump::Title(piece.meaning);
    dump_.Fields(piece.fields);
    const uint64_t piece_end = heap.offset + piece.offset + piece.size;
    if (dump_.at() < piece_end) {
      const uint64_t rest = piece_end - dump_.at();
      dump_.Row(rest, fmt::format("'{}'", Escape(AsText(dump_.Peek(rest)), 60)));
    }
  }

  void DumpTable(const TableEntry& entry) {
    if (entry.offset > bytes_.size()) {
      Dump::Title(fmt::format("{}: at byte {} of the index, outside of it", entry.name(), entry.offset));
      return;
    }
    dump_.FillTo(entry.offset, "up to the next multiple of 8");
    dump_.Seek(entry.offset);
    if (entry.kind == static_cast<uint32_t>(Table::kHeap)) {
      Dump::Title(fmt::format("heap, {}", Counted(entry.count, "byte")));
      if (InRange(entry.offset, entry.count, bytes_.size())) {
        DumpHeap(entry);
      } else {
        Print("        (it does not lie in the index)\n");
      }
      return;
    }
    for (uint64_t i = 0; i < std::min(entry.count, kMostRecords); ++i) {
      const auto record = Record(entry, i);
      if (!record) {
        Dump::Title(fmt::format("{}, record {}: not in the index", entry.name(), i));
        return;
      }
      const std::string name = NameOf(entry.table(), *record);
      Dump::Title(fmt::format("{}, record {}{}{}", entry.name(), i, name.empty() ? "" : ": ", name));
      const uint64_t start = dump_.at();
      dump_.Fields(RecordFields(entry.table()));
      if (dump_.at() < start + entry.record_size)
        dump_.Row(start + entry.record_size - dump_.at(), "of a newer version");
    }
    if (entry.count <= kMostRecords) return;
    Print("\n          ... {} more {}\n", Grouped(entry.count - kMostRecords), entry.name());
    const auto end = CheckedMul(entry.count, entry.record_size);
    const bool inside = end && InRange(entry.offset, *end, bytes_.size());
    if (inside) dump_.Seek(entry.offset + *end);
  }

  ByteSpan bytes_;
  Dump dump_;
  std::vector<TableEntry> tables_;
};

void PrintSlot(ByteSpan first_bytes, uint64_t number, const HeaderPair& pair) {
  if (first_bytes.size() <= number * kSlotSize) return;
  const bool current = pair.current && static_cast<uint64_t>(*pair.current) == number;
  Dump::Title(fmt::format("header slot {}{}", number, !pair.good[number] ? ": bad" : current ? ": current" : ""));
  const uint64_t start = number * kSlotSize;
  Dump dump(first_bytes.subspan(start, std::min(kSlotSize, first_bytes.size() - start)), start);
  dump.Fields(SlotFields());
  if (dump.left() > 16) dump.Row(4000, "reserved");
  if (dump.left() > 0) dump.Row(16, "slot checksum: XXH3-128 of the 4080 bytes before it");
}

}  // namespace

Status PrintHexDump(const File& file) {
  std::vector<std::byte> first(std::min(file.size(), kHeaderSize));
  if (auto read = file.ReadAt(0, first); !read) return read;
  Report report;
  const HeaderPair pair = first.size() == kHeaderSize ? ReadHeader(first, file.size(), report) : HeaderPair{};
  PrintSlot(first, 0, pair);
  PrintSlot(first, 1, pair);
  if (!pair.current) return {};
  const Header& header = pair.header;
  if (!InRange(header.index_offset, header.index_size, file.size()) || header.index_size > kMaxIndexSize) return {};
  const auto index = ReadPrivate(file, header.index_offset, header.index_size);
  if (!index) return Propagate(index);
  IndexDump(index->bytes, header.index_offset).Run();
  return {};
}

}  // namespace ingot

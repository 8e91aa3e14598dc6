#include "tools/inspect_print.h"

#include <algorithm>
#include <vector>

#include "format/text.h"
#include "tools/model_json.h"
#include "tools/output.h"

namespace ingot {
namespace {

constexpr size_t kLabel = 18;      // columns of labels
constexpr size_t kMostText = 100;  // bytes of a metadata value
constexpr size_t kMostLines = 16;  // of attachments, metadata, shards, encodings
constexpr size_t kLargest = 5;
constexpr size_t kWidestName = 64;

void Line(std::string_view label, std::string_view text) {
  Print("  {}{}\n", Dim(fmt::format("{:<{}}", label, kLabel)), text);
}

void Section(std::string_view title) { Print("\n{}\n", Bold(title)); }

// Prints line(i) for the first `count`, or says how many more there are.
template <typename LineOf>
void SomeLines(uint64_t count, LineOf&& line) {
  const uint64_t shown = count > kMostLines + 1 ? kMostLines : count;
  for (uint64_t i = 0; i < shown; ++i) line(static_cast<uint32_t>(i));
  if (shown < count) Print("  ... {} more (--json lists all)\n", Grouped(count - shown));
}

std::string TallyText(const Tally& tally) {
  return fmt::format("{:6.3f}  {} in {}, {}", tally.bits_per_weight(), HumanCount(tally.elements),
                     Counted(tally.tensors, "tensor"), HumanBytes(tally.bytes));
}

void PrintSizes(const Model& model, const Summary& summary) {
  const Header& header = model.main().header();
  const uint64_t shards = model.main().index().count(Table::kShards);
  std::string size = fmt::format("{} ({} bytes)", HumanBytes(summary.file_bytes), Grouped(summary.file_bytes));
  if (shards > 0) size += fmt::format(" in {} and the manifest", Counted(shards, "shard"));
  Line("size", size);
  Line("format", fmt::format("{}.{}, generation {}, alignment {}", header.major, header.minor, header.generation,
                             header.alignment));
  Line("content digest", DigestText(model.ContentDigest()));
  Line("tensors", summary.aliases == 0 ? Grouped(summary.rows.size())
                                       : fmt::format("{}, {} of them aliases of another", Grouped(summary.rows.size()),
                                                     Grouped(summary.aliases)));
  Line("parameters", fmt::format("{} ({})", HumanCount(summary.all.elements), Grouped(summary.all.elements)));
  Line("bits per weight", TallyText(summary.all));
  if (summary.by_kind.size() > 1) {
    for (const auto& [kind, tally] : summary.by_kind) Line("  " + kind, TallyText(tally));
  }
  if (summary.all.stored_bytes != summary.all.bytes) {
    Line("compressed",
         fmt::format("{} of tensors are stored in {} ({:.1f} %)", HumanBytes(summary.all.bytes),
                     HumanBytes(summary.all.stored_bytes),
                     100.0 * static_cast<double>(summary.all.stored_bytes) / static_cast<double>(summary.all.bytes)));
  }
  Line("index", HumanBytes(summary.index_bytes));
  if (summary.dead_bytes > 0) {
    Line("dead bytes", fmt::format("{} (`ingot edit --compact` removes them)", HumanBytes(summary.dead_bytes)));
  }
  if (summary.tail_bytes > 0) {
    Line("after the end", fmt::format("{} of an edit that did not finish", HumanBytes(summary.tail_bytes)));
  }
}

std::string ValueText(const MetadataRecord& record) {
  if (record.type == static_cast<uint8_t>(MetadataType::kString)) return Escape(AsText(record.value), kMostText);
  if (record.type != static_cast<uint8_t>(MetadataType::kArray)) return Dump(MetadataJson(record));
  MetadataRecord head = record;
  constexpr size_t kEnough = 8 * kMostText;  // bytes of an array of scalars; more would be cut anyway
  const bool scalars = MetadataScalarSize(record.element_type) > 0;
  if (scalars && head.value.size() > kEnough) head.value = head.value.first(kEnough);
  const std::string text = WithoutControls(Dump(MetadataJson(head)));
  return text.size() <= kMostText ? text : Escape(text, kMostText);
}

void PrintCarried(const Index& index) {
  if (const uint64_t count = index.count(Table::kMetadata); count > 0) {
    Section("metadata");
    SomeLines(count, [&](uint32_t i) {
      const MetadataRecord record = index.metadata(i);
      Line(Escape(record.key, 60) + " ", ValueText(record));
    });
  }
  if (const uint64_t count = index.count(Table::kSources); count > 0) {
    Section("sources");
    SomeLines(count, [&](uint32_t i) {
      const SourceRecord source = index.source(i);
      Print("  {}  {}  {}\n", Escape(source.name), HumanBytes(source.size), Dim(DigestText(source.hash)));
    });
  }
  if (const uint64_t count = index.count(Table::kAttachments); count > 0) {
    Section("attachments");
    SomeLines(count, [&](uint32_t i) {
      const AttachmentRecord record = index.attachment(i);
      const uint64_t size = record.plane == kNoRecord ? 0 : index.plane(record.plane).size;
      Print("  {:<30}  {:>12}\n", Escape(record.name), HumanBytes(size));
    });
  }
}

void PrintShards(const Model& model) {
  if (model.containers().size() == 1) return;
  Section("shards");
  SomeLines(model.containers().size() - 1, [&](uint32_t i) {
    const Container& shard = *model.containers()[i + 1];
    Print("  {}  {}, {}\n", Escape(model.main().index().shard(i).name), HumanBytes(shard.file().size()),
          Counted(shard.index().tensor_count(), "tensor"));
  });
}

void PrintEncodings(const Summary& summary) {
  if (summary.by_encoding.empty()) return;
  Section("encodings");
  std::vector<std::pair<std::string, Tally>> sorted(summary.by_encoding.begin(), summary.by_encoding.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  SomeLines(sorted.size(), [&](uint32_t i) {
    const auto& [encoding, tally] = sorted[i];
    const double share =
        summary.all.bytes == 0 ? 0 : static_cast<double>(tally.bytes) / static_cast<double>(summary.all.bytes);
    Print("  {:>6}  {:>12}  {:>5.1f} %  {:>6.3f} b/w  {}\n", Grouped(tally.tensors), HumanBytes(tally.bytes),
          100 * share, tally.bits_per_weight(), Escape(encoding));
  });
}

void PrintLargest(const Model& model, const Summary& summary) {
  if (summary.rows.size() <= 2 * kLargest) return;  // the table shows them at a glance
  std::vector<const TensorRow*> rows;
  for (const TensorRow& row : summary.rows) {
    if (!row.alias) rows.push_back(&row);
  }
  const size_t shown = std::min(kLargest, rows.size());
  std::partial_sort(rows.begin(), rows.begin() + static_cast<ptrdiff_t>(shown), rows.end(),
                    [](const TensorRow* a, const TensorRow* b) {
                      return std::pair(b->bytes, a->number) < std::pair(a->bytes, b->number);
                    });
  Section("largest tensors");
  for (size_t i = 0; i < shown; ++i) {
    Print("  {:>12}  {}  {}\n", HumanBytes(rows[i]->bytes), Escape(model.tensor(rows[i]->number).name),
          ShapeText(model.tensor(rows[i]->number).shape()));
  }
}

std::string DTypeName(const TensorRecord& record) { return std::string(InfoOf(static_cast<DType>(record.dtype)).name); }

void PrintTable(const Model& model, const Summary& summary) {
  if (summary.rows.empty()) return;
  size_t name_width = 6, shape_width = 5, dtype_width = 5;
  for (const TensorRow& row : summary.rows) {
    const TensorRecord record = model.tensor(row.number);
    name_width = std::max(name_width, std::min(kWidestName, Escape(record.name).size()));
    shape_width = std::max(shape_width, std::min<size_t>(24, ShapeText(record.shape()).size()));
    dtype_width = std::max(dtype_width, DTypeName(record).size());
  }
  Print("\n{}\n", Bold(fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>6}  {:>12}  {}", "tensor", name_width, "shape",
                                   shape_width, "dtype", dtype_width, "b/w", "bytes", "encoding")));
  for (const TensorRow& row : summary.rows) {
    const TensorRecord record = model.tensor(row.number);
    const std::string encoding = row.alias ? Dim("alias of " + Escape(row.alias_of)) : Escape(row.encoding);
    Print("{:<{}}  {:<{}}  {:<{}}  {:>6.3f}  {:>12}  {}\n", Escape(record.name), name_width, ShapeText(record.shape()),
          shape_width, DTypeName(record), dtype_width, row.bits_per_weight(), Grouped(row.bytes), encoding);
  }
}

}  // namespace

void PrintModel(const Model& model, const Summary& summary) {
  Print("{}\n", Bold(WithoutControls(model.main().path())));
  PrintSizes(model, summary);
  PrintCarried(model.main().index());
  PrintShards(model);
  PrintEncodings(summary);
  PrintLargest(model, summary);
  PrintTable(model, summary);
}

}  // namespace ingot

#include "tools/summary.h"

#include <utility>

#include "tools/model_json.h"

namespace ingot {
namespace {

double BitsPer(uint64_t bytes, uint64_t elements) {
  return elements == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(elements);
}

std::string KindOf(const Index& index, const TensorRecord& tensor) {
  std::string kind;
  for (uint32_t p = tensor.first_part; p < tensor.first_part + tensor.part_count; ++p) {
    const std::string_view name = KindName(index.encoding(index.part(p).encoding));
    if (!kind.empty() && kind != name) return "mixed";
    kind = name;
  }
  return kind;
}

void AddFile(const Container& container, Summary& summary) {
  const Index& index = container.index();
  summary.file_bytes += container.file().size();
  summary.index_bytes += container.header().index_size;
  if (container.file().size() > container.header().file_end) {
    summary.tail_bytes += container.file().size() - container.header().file_end;
  }
  for (uint32_t i = 0; i < index.count(Table::kDeadRanges); ++i) summary.dead_bytes += index.dead_range(i).size;
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) {
    const uint32_t plane = index.attachment(i).plane;
    if (plane != kNoRecord) summary.attachment_bytes += index.stored_size(index.plane(plane));
  }
}

}  // namespace

double TensorRow::bits_per_weight() const { return BitsPer(bytes, elements); }

void Tally::Add(const TensorRow& row) {
  ++tensors;
  elements += row.elements;
  bytes += row.bytes;
  stored_bytes += row.stored_bytes;
}

double Tally::bits_per_weight() const { return BitsPer(bytes, elements); }

Summary Summarize(const Model& model) {
  Summary summary;
  for (const auto& container : model.containers()) AddFile(*container, summary);
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> originals;  // container and first part -> number
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    if (!model.is_alias(i)) originals[{model.id(i).container, model.tensor(i).first_part}] = i;
  }
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const TensorRecord record = model.tensor(i);
    const Index& index = model.container_of(i).index();
    TensorRow row;
    row.number = i;
    row.elements = ElementCount(record);
    row.bytes = PlaneBytesOf(index, record);
    row.stored_bytes = StoredBytesOf(index, record);
    row.encoding = DescribeTensor(index, record);
    row.kind = KindOf(index, record);
    row.alias = model.is_alias(i);
    if (row.alias) {
      ++summary.aliases;
      row.alias_of = model.tensor(originals[{model.id(i).container, record.first_part}]).name;
    } else {
      summary.all.Add(row);
      summary.by_kind[row.kind].Add(row);
      summary.by_encoding[row.encoding].Add(row);
    }
    summary.rows.push_back(std::move(row));
  }
  return summary;
}

}  // namespace ingot

// The page of `ingot inspect --tensor`.
#include <algorithm>
#include <vector>

#include "format/text.h"
#include "tools/inspect_print.h"
#include "tools/model_json.h"
#include "tools/output.h"

namespace ingot {
namespace {

constexpr size_t kLabel = 18;
constexpr uint64_t kMostPlanes = 64;
constexpr int kBarWidth = 40;

void Line(std::string_view label, std::string_view text) {
  Print("  {}{}\n", Dim(fmt::format("{:<{}}", label, kLabel)), text);
}

// The formula with what this encoding has of it: "w = s[g] * (m(q) - z[g]) + h".
std::string FormulaText(const Linear& l) {
  const auto operand = [](const char* name, const Operand& o) {
    return o.form == OperandForm::kConstant ? fmt::format("{:g}", o.constant) : fmt::format("{}[g]", name);
  };
  const auto has = [](const Operand& o) { return o.form != OperandForm::kAbsent; };
  std::string text = l.codebook ? "m(q)" : "q";
  if (has(l.z)) text = fmt::format("({} - {})", text, operand("z", l.z));
  if (has(l.s)) text = fmt::format("{} * {}", operand("s", l.s), text);
  if (has(l.o)) text = fmt::format("({} - {})", text, operand("o", l.o));
  if (has(l.t)) text += l.t.form == OperandForm::kConstant ? fmt::format(" * {:g}", l.t.constant) : " * t[c]";
  if (l.outliers != OutlierForm::kNone) text += " + h[r,c]";
  return "w = " + text;
}

// What an operand is: "F16 array", "constant 8", "nested: 4-bit ...".
std::string OperandText(const Index& index, const Operand& operand, uint32_t child) {
  switch (operand.form) {
    case OperandForm::kAbsent:
      return "none";
    case OperandForm::kConstant:
      return fmt::format("constant {:g}", operand.constant);
    case OperandForm::kArray:
      return fmt::format("{} array", InfoOf(operand.type).name);
    case OperandForm::kNested:
      break;
  }
  const Linear l = DecodeLinear(index.payload(index.encoding(child)));
  return fmt::format("nested: {}, {} by {} in groups of {} by {}; {}", Describe(l, {}), Grouped(l.rows),
                     Grouped(l.cols), Grouped(l.group_rows), Grouped(l.group_cols), FormulaText(l));
}

void PrintLinear(const Index& index, uint32_t number) {
  const EncodingRecord record = index.encoding(number);
  const Linear l = DecodeLinear(index.payload(record));
  Line("formula", FormulaText(l));
  Line("view", fmt::format("{} rows by {} columns, groups of {} by {}: {}", Grouped(l.rows), Grouped(l.cols),
                           Grouped(l.group_rows), Grouped(l.group_cols), Counted(l.group_count(), "group")));
  Line("codes q", fmt::format("{}{}", Counted(static_cast<uint64_t>(l.bits), "bit"),
                              l.codebook ? ", into a codebook m of f32" : ""));
  uint32_t child = number - record.child_count;
  const std::pair<const char*, const Operand*> operands[] = {
      {"scale s", &l.s}, {"zero-point z", &l.z}, {"offset o", &l.o}, {"column scale t", &l.t}};
  for (const auto& [name, operand] : operands) {
    Line(name, OperandText(index, *operand, child));
    child += operand->form == OperandForm::kNested;
  }
  if (l.permutation) Line("permutation", "of the columns; groups are of stored columns");
  if (l.outliers != OutlierForm::kNone) {
    const bool columns = l.outliers == OutlierForm::kColumns;
    Line("outliers h", fmt::format("{}, {}", Counted(l.outlier_count, columns ? "whole column" : "value"),
                                   InfoOf(l.outlier_type).name));
  }
  Line("arithmetic", fmt::format("{}, result rounded to {}", InfoOf(l.arithmetic).name, InfoOf(l.result).name));
}

void PrintEncoding(const Index& index, uint32_t number, uint8_t dtype) {
  const EncodingRecord record = index.encoding(number);
  Line("encoding", Escape(DescribeEncoding(index, number, dtype)));
  if (record.is(EncodingKind::kLinear)) PrintLinear(index, number);
  if (record.is(EncodingKind::kForeign)) {
    const Foreign foreign = DecodeForeign(index.payload(record));
    Line("blocks", fmt::format("{} bytes for {} elements each", foreign.block_bytes, foreign.block_elements));
  }
  if (!record.known()) Line("required", (record.flags & kFlagRequired) != 0 ? "yes" : "no: it may be left out");
}

// Parts with the same encoding text are described once.
void PrintParts(const Index& index, const TensorRecord& tensor) {
  const auto text_of = [&](uint32_t p) {
    return DescribeEncoding(index, index.part(tensor.first_part + p).encoding, tensor.dtype);
  };
  for (uint32_t p = 0; p < tensor.part_count;) {
    const std::string text = text_of(p);
    uint32_t end = p + 1;
    while (end < tensor.part_count && text_of(end) == text) ++end;
    if (tensor.part_count > 1) {
      uint64_t extent = 0;
      for (uint32_t i = p; i < end; ++i) extent += index.part(tensor.first_part + i).extent;
      Print(
          "\n{}\n",
          Bold(end - p == 1 ? fmt::format("part {} of {}: {} along axis {}", p, tensor.part_count, extent, tensor.axis)
                            : fmt::format("parts {} to {} of {}: {} along axis {} in all; the first one:", p, end - 1,
                                          tensor.part_count, extent, tensor.axis)));
    }
    PrintEncoding(index, index.part(tensor.first_part + p).encoding, tensor.dtype);
    p = end;
  }
}

// One line for each plane of all parts and their nested encodings.
void PrintPlanes(const Index& index, const TensorRecord& tensor) {
  Print("\n{}\n", Bold(fmt::format("  {:<28} {:>7} {:>15} {:>13} {:>13} {:>7}  {}", "plane", "number", "offset",
                                   "bytes", "stored", "chunks", "as")));
  uint64_t count = 0;
  for (uint32_t p = tensor.first_part; p < tensor.first_part + tensor.part_count; ++p) {
    const uint32_t root = index.part(p).encoding, children = index.encoding(root).child_count;
    for (uint32_t e = root - children; e <= root; ++e) {
      const EncodingRecord encoding = index.encoding(e);
      for (uint32_t i = 0; i < encoding.plane_count; ++i) {
        if (count++ >= kMostPlanes) continue;
        const PlaneRecord plane = index.plane(encoding.first_plane + i);
        const std::string role = (e == root ? "" : "nested ") + PlaneRoleText(index, encoding, i, e != root);
        Print("  {:<28} {:>7} {:>15} {:>13} {:>13} {:>7}  {}\n", role, encoding.first_plane + i, Grouped(plane.offset),
              Grouped(plane.size), Grouped(index.stored_size(plane)), Grouped(plane.chunk_count()),
              FramesText(index, plane));
      }
    }
  }
  if (count > kMostPlanes) Print("  ... {} more planes (--json lists all)\n", Grouped(count - kMostPlanes));
  if (count == 0) Print("  none: no elements\n");
}

void PrintRange(std::string_view label, const RangeStatistics& range) {
  std::string text = fmt::format("{} from {:.6g} to {:.6g}, mean {:.6g}, deviation {:.4g}, {}", Grouped(range.count),
                                 range.min, range.max, range.mean(), range.deviation(), Counted(range.zeros, "zero"));
  if (range.non_finite > 0) text += fmt::format(", {} infinite or NaN", Grouped(range.non_finite));
  Line(label, text);
}

// A bar for each code, or for each run of codes where there are many.
void PrintHistogram(const CodeStatistics& codes) {
  const size_t count = size_t{1} << codes.bits, step = std::max<size_t>(1, count / 16);
  std::vector<uint64_t> bins(count / step);
  for (size_t i = 0; i < count; ++i) bins[i / step] += codes.histogram[i];
  uint64_t total = 0, most = 1;
  for (uint64_t bin : bins) {
    total += bin;
    most = std::max(most, bin);
  }
  for (size_t i = 0; i < bins.size(); ++i) {
    std::string label = step == 1 ? fmt::format("{}", i) : fmt::format("{}-{}", i * step, (i + 1) * step - 1);
    if (step == 1 && !codes.codebook.empty()) label += fmt::format(" = {:.5g}", codes.codebook[i]);
    Print("  {:>{}}  {:>6.2f} %  {}\n", label, kLabel - 2,
          100 * static_cast<double>(bins[i]) / static_cast<double>(total),
          Bar(static_cast<double>(bins[i]) / static_cast<double>(most), kBarWidth));
  }
}

void PrintStatistics(const TensorStatistics& statistics) {
  Print("\n{}\n", Bold("figures"));
  if (statistics.has_values) PrintRange("values", statistics.values);
  for (const auto& [description, codes] : statistics.codes) {
    if (statistics.codes.size() > 1)
      Print("\n  {}\n", Bold(fmt::format("{}, {}", description, Counted(codes.parts, "part"))));
    for (const auto& [name, range] : codes.operands) PrintRange(name, range);
    if (codes.outliers > 0) PrintRange("outliers", codes.outlier_values);
    Print("\n{}\n", Bold("codes"));
    PrintHistogram(codes);
  }
}

}  // namespace

void PrintTensor(const Model& model, const TensorRow& row, const TensorStatistics* statistics) {
  const Container& container = model.container_of(row.number);
  const Index& index = container.index();
  const TensorRecord tensor = model.tensor(row.number);
  Print("{}\n", Bold(fmt::format("'{}'", Escape(tensor.name, kMaxNameSize))));
  if (row.alias) Line("alias of", fmt::format("'{}'", Escape(row.alias_of)));
  if (model.containers().size() > 1) Line("in", WithoutControls(container.path()));
  Line("shape", fmt::format("{}, {}", ShapeText(tensor.shape()), Counted(row.elements, "element")));
  Line("dtype", InfoOf(static_cast<DType>(tensor.dtype)).name);
  Line("bits per weight", fmt::format("{:.4f}", row.bits_per_weight()));
  Line("bytes", row.bytes == row.stored_bytes
                    ? Grouped(row.bytes)
                    : fmt::format("{}, stored in {}", Grouped(row.bytes), Grouped(row.stored_bytes)));
  PrintParts(index, tensor);
  PrintPlanes(index, tensor);
  if (statistics != nullptr) PrintStatistics(*statistics);
}

}  // namespace ingot

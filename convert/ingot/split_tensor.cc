#include "convert/ingot/split_tensor.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "convert/tensor_encoder.h"
#include "format/checked.h"
#include "kernels/pack.h"

namespace ingot {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{1} << 20;  // of codes

bool IsArray(const Operand& operand) { return operand.form == OperandForm::kArray; }

std::vector<float> FloatsOf(ByteSpan bytes) {
  std::vector<float> out(bytes.size() / sizeof(float));
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

// Columns [first, last) of each row of an array.
void AppendColumns(ByteSpan array, uint64_t cols, uint64_t element_size, uint64_t first, uint64_t last,
                   std::vector<std::byte>& out) {
  for (uint64_t at = 0; at < array.size(); at += cols * element_size)
    Append(out, array.subspan(at + first * element_size, (last - first) * element_size));
}

uint32_t LoadColumn(ByteSpan columns, uint64_t i, int bytes) {
  return bytes == 2 ? Load<uint16_t>(columns.data() + 2 * i) : Load<uint32_t>(columns.data() + 4 * i);
}

void AppendColumn(std::vector<std::byte>& out, uint32_t column, int bytes) {
  if (bytes == 2) {
    Append(out, static_cast<uint16_t>(column));
  } else {
    Append(out, column);
  }
}

void SetOutlierCount(Linear& l, uint64_t count) {
  l.outlier_count = count;
  if (count != 0) return;
  l.outliers = OutlierForm::kNone;
  l.outlier_type = Linear().outlier_type;
}

// The groups of a child that the groups [first, last) of its parent lie in.
struct ChildRange {
  uint64_t first, last;
};
ChildRange GroupsOf(const Linear& child, uint64_t first, uint64_t last) {
  return {first / child.group_cols, CeilDiv(last, child.group_cols)};
}

}  // namespace

std::vector<uint64_t> ExactCuts(const Linear& l, const std::vector<Linear>& children, uint64_t columns,
                                uint32_t count) {
  const std::vector<uint64_t> whole = {0, l.cols};
  if (l.permutation || l.cols != columns) return whole;
  uint64_t group = l.group_cols;
  for (const Linear& child : children) {
    if (!IsArray(child.s) && !IsArray(child.z) && !IsArray(child.o)) continue;
    if (child.rows != l.groups_down() || child.cols != l.groups_across()) return whole;
    if (child.group_cols < child.cols) group = std::lcm(group, l.group_cols * child.group_cols);
  }
  return ingot::SplitColumns(l.cols, group, count);
}

SplitTensor::SplitTensor(std::string description, std::shared_ptr<const TensorReader> reader,
                         const std::vector<uint64_t>& cuts)
    : description_(std::move(description)), reader_(std::move(reader)) {
  const Linear& l = matrix().linear;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    ranges_.push_back({cuts[i], cuts[i + 1], cuts[i] / l.group_cols, CeilDiv(cuts[i + 1], l.group_cols)});
    plan_.parts.push_back(PlanPart(ranges_.back()));
  }
  if (l.outliers == OutlierForm::kUnstructured) CountOutliers();
  block_rows_ = std::max<uint64_t>(kBlockBytes * 8 / (l.cols * static_cast<uint64_t>(l.bits)), 1);
}

PartPlan SplitTensor::PlanPart(const Range& range) const {
  const EncodedMatrix& m = matrix();
  PartPlan plan;
  Linear& l = plan.linear;
  l = m.linear;
  l.cols = range.last_col - range.first_col;
  l.group_cols = std::min(l.group_cols, l.cols);
  plan.codebook = FloatsOf(m.codebook);
  if (IsArray(l.t))
    AppendColumns(m.t, m.linear.cols, InfoOf(l.t.type).size, range.first_col, range.last_col, plan.column_scales);
  PlanNested(range, plan);
  if (l.outliers == OutlierForm::kColumns) {
    for (uint64_t i = 0; i < m.linear.outlier_count; ++i) {
      const uint32_t column = LoadColumn(m.outlier_columns, i, m.linear.column_bytes());
      if (column >= range.first_col && column < range.last_col)
        plan.outlier_columns.push_back(static_cast<uint32_t>(column - range.first_col));
    }
    SetOutlierCount(l, plan.outlier_columns.size());
  }
  return plan;
}

void SplitTensor::PlanNested(const Range& range, PartPlan& plan) const {
  const EncodedMatrix* child = matrix().children.data();
  for (size_t i = 0; i < kGroupOperands; ++i) {
    if (GroupOperand(plan.linear, i).form != OperandForm::kNested) continue;
    EncodingPlan& nested = plan.nested[i].emplace();
    Linear& l = nested.linear;
    l = child->linear;
    const bool one_group = l.group_count() == 1;
    l.rows = plan.linear.groups_down();
    l.cols = range.last_group - range.first_group;
    l.group_rows = one_group ? l.rows : l.group_rows;
    l.group_cols = one_group ? l.cols : std::min(l.group_cols, l.cols);
    nested.codebook = FloatsOf(child->codebook);
    ++child;
  }
}

// Unstructured outliers of each part: its planes are placed before they are filled.
void SplitTensor::CountOutliers() {
  const EncodedMatrix& m = matrix();
  std::vector<uint64_t> counts(ranges_.size());
  for (uint64_t i = 0; i < m.linear.outlier_count; ++i) {
    const uint32_t column = LoadColumn(m.outlier_columns, i, m.linear.column_bytes());
    const auto part = std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& r) { return column < r.last_col; });
    ++counts[static_cast<size_t>(part - ranges_.begin())];
  }
  for (size_t p = 0; p < counts.size(); ++p) SetOutlierCount(plan_.parts[p].linear, counts[p]);
}

uint64_t SplitTensor::block_count() const { return CeilDiv(matrix().linear.rows, block_rows_); }

Status SplitTensor::Encode(uint64_t block, std::span<EncodedPart> parts) const {
  const uint64_t first = block * block_rows_, last = std::min(first + block_rows_, matrix().linear.rows);
  for (size_t p = 0; p < ranges_.size(); ++p) {
    if (block == 0) EncodeOperands(ranges_[p], parts[p]);
    for (uint64_t row = first; row < last; ++row) EncodeRow(ranges_[p], plan_.parts[p].linear, row, parts[p]);
  }
  return {};
}

// All groups of all rows.
void SplitTensor::EncodeOperands(const Range& range, EncodedPart& out) const {
  const EncodedMatrix& m = matrix();
  const uint64_t across = m.linear.groups_across(), first = range.first_group, last = range.last_group;
  const EncodedMatrix* child = m.children.data();
  Linear forms = m.linear;
  const ByteSpan arrays[] = {m.s, m.z, m.o};
  for (size_t i = 0; i < kGroupOperands; ++i) {
    const Operand& operand = GroupOperand(forms, i);
    OperandBlock& to = out.operands[i];
    if (IsArray(operand)) AppendColumns(arrays[i], across, InfoOf(operand.type).size, first, last, to.array);
    if (operand.form != OperandForm::kNested) continue;
    std::vector<uint8_t> codes(child->linear.rows * child->linear.cols);
    const std::byte* const fields[] = {child->codes[0].data(), child->codes[1].data(), child->codes[2].data()};
    UnpackRow(std::span(fields).first(FieldWidths(child->linear.bits).size()), codes.size(), child->linear.bits,
              codes.data());
    for (uint64_t at = 0; at < codes.size(); at += across)
      to.codes.insert(to.codes.end(), codes.begin() + static_cast<ptrdiff_t>(at + first),
                      codes.begin() + static_cast<ptrdiff_t>(at + last));
    Linear own = child->linear;
    const ChildRange groups = GroupsOf(own, first, last);
    const ByteSpan child_arrays[] = {child->s, child->z, child->o};
    for (size_t k = 0; k < kGroupOperands; ++k) {
      const Operand& inner = GroupOperand(own, k);
      if (!IsArray(inner)) continue;
      AppendColumns(child_arrays[k], own.groups_across(), InfoOf(inner.type).size, groups.first, groups.last,
                    to.arrays[k]);
    }
    ++child;
  }
}

// Codes and outliers of one row.
void SplitTensor::EncodeRow(const Range& range, const Linear& part, uint64_t row, EncodedPart& out) const {
  const EncodedMatrix& m = matrix();
  const std::span<const uint8_t> widths = FieldWidths(m.linear.bits);
  for (size_t f = 0; f < widths.size(); ++f) {
    const ByteSpan bytes =
        m.codes[f].subspan(row * PackedRowBytes(m.linear.cols, widths[f]) + PackedRowBytes(range.first_col, widths[f]),
                           PackedRowBytes(part.cols, widths[f]));
    out.codes[f].insert(out.codes[f].end(), bytes.begin(), bytes.end());
  }
  if (part.outliers == OutlierForm::kNone) return;
  const uint64_t size = InfoOf(m.linear.outlier_type).size;
  if (part.outliers == OutlierForm::kColumns) {
    for (uint64_t i = 0; i < m.linear.outlier_count; ++i) {
      const uint32_t column = LoadColumn(m.outlier_columns, i, m.linear.column_bytes());
      if (column < range.first_col || column >= range.last_col) continue;
      Append(out.outlier_values, m.outlier_values.subspan((row * m.linear.outlier_count + i) * size, size));
    }
    return;
  }
  uint64_t count = 0;
  const auto end = Load<uint64_t>(m.outlier_rows.data() + 8 * (row + 1));
  for (auto i = Load<uint64_t>(m.outlier_rows.data() + 8 * row); i < end; ++i) {
    const uint32_t column = LoadColumn(m.outlier_columns, i, m.linear.column_bytes());
    if (column < range.first_col || column >= range.last_col) continue;
    AppendColumn(out.outlier_columns, static_cast<uint32_t>(column - range.first_col), part.column_bytes());
    Append(out.outlier_values, m.outlier_values.subspan(i * size, size));
    ++count;
  }
  out.outliers_per_row.push_back(count);
}

}  // namespace ingot

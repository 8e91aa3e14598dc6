#include "convert/tensor_encoder.h"

#include <algorithm>
#include <numeric>

#include "convert/quantize/codebook.h"
#include "convert/recipe.h"
#include "format/checked.h"
#include "format/report.h"
#include "kernels/pack.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

// Rows that are widened and quantized at a time: their f32 values stay in the second-level cache.
constexpr uint64_t kValuesAtOnce = 64 << 10;

struct Scratch {
  std::vector<float> values;
  std::vector<std::byte> narrow;
  QuantizedRows rows;
};

bool IsCodebook(const Method& method) { return method.kind == MethodKind::kNf4 || method.kind == MethodKind::kFp4; }

Operand ConstantOr(float value, float neutral) { return value == neutral ? Operand{} : Operand::Constant(value); }

// Appends f32 values, exact in `type`, as that type.
void AppendFloats(DType type, const float* values, uint64_t count, std::vector<std::byte>& out) {
  const size_t at = out.size();
  out.resize(at + count * InfoOf(type).size);
  NarrowFromF32(type, values, count, out.data() + at);
}

}  // namespace

std::vector<uint64_t> SplitColumns(uint64_t cols, uint64_t group_cols, uint32_t parts) {
  // Per-channel groups may be cut anywhere: every part then has the scale of the whole row.
  const uint64_t unit = group_cols >= cols ? kPackUnit : std::lcm(kPackUnit, group_cols);
  const uint64_t units = CeilDiv(cols, unit), count = std::min<uint64_t>(std::max<uint32_t>(parts, 1), units);
  std::vector<uint64_t> cuts = {0};
  for (uint64_t i = 1; i < count; ++i) cuts.push_back(i * units / count * unit);
  cuts.push_back(cols);
  return cuts;
}

TensorEncoder::TensorEncoder(const SourceTensor& tensor, GroupQuantizer quantizer, const std::vector<uint64_t>& cuts,
                             const std::vector<uint64_t>& outliers_per_part)
    : name_(tensor.name),
      dtype_(tensor.dtype),
      rows_(MatrixRows(tensor)),
      cols_(MatrixCols(tensor)),
      quantizer_(std::move(quantizer)) {
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const uint64_t group = quantizer_.group_cols();
    ranges_.push_back({cuts[i], cuts[i + 1], cuts[i] / group, CeilDiv(cuts[i + 1], group)});
    plan_.parts.push_back(PlanPart(ranges_.back(), outliers_per_part[i]));
  }
}

// The encoding of one part, before any operand has turned out to be constant.
PartPlan TensorEncoder::PlanPart(const Range& range, uint64_t outliers) const {
  const Method& method = quantizer_.method();
  PartPlan plan;
  Linear& l = plan.linear;
  l.bits = IsCodebook(method) ? 4 : method.bits;
  l.codebook = IsCodebook(method);
  if (l.codebook) {
    const auto& values = CodebookOf(method.kind).values;
    plan.codebook.assign(values.begin(), values.end());
  }
  l.rows = rows_;
  l.cols = range.last_col - range.first_col;
  if (quantizer_.per_tensor()) {
    l.group_rows = l.rows;
    l.group_cols = l.cols;
    l.s = ConstantOr(quantizer_.tensor_fit().scale, 1.0f);
    if (!IsCodebook(method)) l.z = ConstantOr(quantizer_.tensor_fit().zero, 0.0f);
  } else {
    l.group_rows = 1;
    l.group_cols = std::min(quantizer_.group_cols(), l.cols);
    l.s = Operand::Array(method.scale_dtype);
    if (!IsCodebook(method)) {
      if (method.zero_point == ZeroPointKind::kSymmetric) {
        l.z = Operand::Constant(l.bits == 1 ? 0.5f : static_cast<float>(1 << (l.bits - 1)));
      } else if (method.zero_point == ZeroPointKind::kFloat) {
        l.z = Operand::Array(method.scale_dtype);
      } else {
        l.z = Operand::Nested();
        Linear zeros;
        zeros.bits = l.bits;
        zeros.rows = zeros.group_rows = l.groups_down();
        zeros.cols = zeros.group_cols = l.groups_across();
        plan.nested[1] = EncodingPlan{zeros, {}};
      }
    }
  }
  for (uint32_t column : quantizer_.outlier_columns()) {
    if (column >= range.first_col && column < range.last_col)
      plan.outlier_columns.push_back(static_cast<uint32_t>(column - range.first_col));
  }
  if (!plan.outlier_columns.empty()) {
    l.outliers = OutlierForm::kColumns;
    l.outlier_count = plan.outlier_columns.size();
  } else if (outliers != 0) {
    l.outliers = OutlierForm::kUnstructured;
    l.outlier_count = outliers;
  }
  if (l.outliers != OutlierForm::kNone) l.outlier_type = quantizer_.outlier_dtype();
  return plan;
}

Status TensorEncoder::Encode(const std::byte* source, uint64_t first_row, uint64_t rows, EncodedBlock& out) const {
  thread_local Scratch scratch;
  out.inexact_outliers = 0;
  out.parts.resize(ranges_.size());
  for (EncodedPart& part : out.parts) part.Clear();
  const uint64_t step = std::max<uint64_t>(kValuesAtOnce / cols_, 1), row_bytes = cols_ * InfoOf(dtype_).size;
  for (uint64_t done = 0; done < rows; done += step) {
    const uint64_t count = std::min(step, rows - done);
    scratch.values.resize(count * cols_);
    WidenToF32(dtype_, source + done * row_bytes, count * cols_, scratch.values.data());
    if (auto quantized = quantizer_.Quantize(scratch.values.data(), first_row + done, count, scratch.rows);
        !quantized) {
      return tl::unexpected(Explain(quantized.error()));
    }
    out.inexact_outliers += scratch.rows.inexact_outliers;
    for (size_t i = 0; i < ranges_.size(); ++i)
      EncodePart(plan_.parts[i], ranges_[i], scratch.rows, count, out.parts[i]);
  }
  return {};
}

void TensorEncoder::EncodePart(const PartPlan& plan, const Range& range, const QuantizedRows& rows, uint64_t count,
                               EncodedPart& out) const {
  const uint64_t cols = plan.linear.cols;
  const std::span<const uint8_t> widths = FieldWidths(plan.linear.bits);
  std::array<size_t, kMaxFields> at{};
  for (size_t f = 0; f < widths.size(); ++f) {
    at[f] = out.codes[f].size();
    out.codes[f].resize(at[f] + count * PackedRowBytes(cols, widths[f]));
  }
  for (uint64_t r = 0; r < count; ++r) {
    std::array<std::byte*, kMaxFields> field_rows{};
    for (size_t f = 0; f < widths.size(); ++f)
      field_rows[f] = out.codes[f].data() + at[f] + r * PackedRowBytes(cols, widths[f]);
    PackRow(rows.codes.data() + r * cols_ + range.first_col, cols, plan.linear.bits,
            std::span(field_rows).first(widths.size()));
  }
  const uint64_t groups = quantizer_.groups_per_row(), own = range.last_group - range.first_group;
  for (uint64_t r = 0; r < count && groups != 0; ++r) {
    const uint64_t first = r * groups + range.first_group;
    AppendFloats(quantizer_.method().scale_dtype, rows.scales.data() + first, own, out.operands[0].array);
    OperandBlock& zeros = out.operands[1];
    if (!rows.zeros.empty()) AppendFloats(quantizer_.method().scale_dtype, rows.zeros.data() + first, own, zeros.array);
    if (!rows.zero_codes.empty()) {
      zeros.codes.insert(zeros.codes.end(), rows.zero_codes.begin() + static_cast<ptrdiff_t>(first),
                         rows.zero_codes.begin() + static_cast<ptrdiff_t>(first + own));
    }
  }
  if (plan.linear.outliers != OutlierForm::kNone) EncodeOutliers(plan, range, rows, count, out);
}

void TensorEncoder::EncodeOutliers(const PartPlan& plan, const Range& range, const QuantizedRows& rows, uint64_t count,
                                   EncodedPart& out) const {
  const DType type = plan.linear.outlier_type;
  if (plan.linear.outliers == OutlierForm::kColumns) {
    const auto all = quantizer_.outlier_columns();
    const auto first = std::lower_bound(all.begin(), all.end(), range.first_col) - all.begin();
    for (uint64_t r = 0; r < count; ++r) {
      AppendFloats(type, rows.column_values.data() + r * all.size() + static_cast<size_t>(first),
                   plan.outlier_columns.size(), out.outlier_values);
    }
    return;
  }
  size_t at = 0;
  for (uint64_t r = 0; r < count; ++r) {
    const auto begin = rows.outlier_columns.begin() + static_cast<ptrdiff_t>(at), end = begin + rows.outlier_counts[r];
    const auto first = std::lower_bound(begin, end, range.first_col),
               last = std::lower_bound(first, end, range.last_col);
    for (auto c = first; c != last; ++c) {
      const uint64_t column = *c - range.first_col;
      if (plan.linear.column_bytes() == 2) {
        Append(out.outlier_columns, static_cast<uint16_t>(column));
      } else {
        Append(out.outlier_columns, static_cast<uint32_t>(column));
      }
    }
    const auto number = static_cast<size_t>(first - rows.outlier_columns.begin());
    AppendFloats(type, rows.outlier_values.data() + number, static_cast<uint64_t>(last - first), out.outlier_values);
    out.outliers_per_row.push_back(static_cast<uint64_t>(last - first));
    at += rows.outlier_counts[r];
  }
}

Error TensorEncoder::Explain(const QuantizeError& error) const {
  if (error.kind == QuantizeError::Kind::kNonFinite) {
    return {ErrorCode::kBadInput,
            fmt::format("tensor '{}': row {}, column {} is {}; --allow-nonfinite converts it all the same",
                        Escape(name_), error.row, error.index, error.value)};
  }
  return {
      ErrorCode::kBadInput,
      fmt::format("tensor '{}': row {}, group {}: the scale {:g} does not fit {}; use --scale-dtype f32 or bf16",
                  Escape(name_), error.row, error.index, error.value, InfoOf(quantizer_.method().scale_dtype).name)};
}

}  // namespace ingot

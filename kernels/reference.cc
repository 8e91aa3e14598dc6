// The scalar meaning of spec/ENCODINGS.md. Every rounding stands on its own line; the project is compiled without
// contraction.
#include <algorithm>
#include <utility>

#include "format/packing.h"
#include "kernels/matrix.h"

namespace ingot {

EncodedMatrix EncodedMatrix::Make(const Linear& linear, bool nested, const std::vector<ByteSpan>& planes,
                                  std::vector<EncodedMatrix> children) {
  EncodedMatrix m;
  m.linear = linear;
  m.nested = nested;
  m.children = std::move(children);
  const std::vector<PlaneSpec> specs = PlanesOf(linear, nested);
  size_t field = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    switch (specs[i].role) {
      case PlaneRole::kCodes:
        m.codes[field++] = planes[i];
        break;
      case PlaneRole::kCodebook:
        m.codebook = planes[i];
        break;
      case PlaneRole::kScales:
        m.s = planes[i];
        break;
      case PlaneRole::kZeroPoints:
        m.z = planes[i];
        break;
      case PlaneRole::kOffsets:
        m.o = planes[i];
        break;
      case PlaneRole::kColumnScales:
        m.t = planes[i];
        break;
      case PlaneRole::kPermutation:
        m.permutation = planes[i];
        break;
      case PlaneRole::kOutlierRows:
        m.outlier_rows = planes[i];
        break;
      case PlaneRole::kOutlierColumns:
        m.outlier_columns = planes[i];
        break;
      case PlaneRole::kOutlierValues:
        m.outlier_values = planes[i];
        break;
      default:
        break;
    }
  }
  if (linear.permutation) {
    m.stored_column.resize(linear.cols);
    for (uint64_t j = 0; j < linear.cols; ++j)
      m.stored_column[Load<uint32_t>(m.permutation.data() + 4 * j)] = static_cast<uint32_t>(j);
  }
  return m;
}

const EncodedMatrix& EncodedMatrix::nested_operand(int i) const {
  size_t child = 0;  // those of the operands before it come first
  for (int before = 0; before < i; ++before) child += operand(before).form == OperandForm::kNested;
  return children[child];
}

FieldRows EncodedMatrix::fields_at(uint64_t row, uint64_t column) const {
  FieldRows rows{};
  const auto widths = FieldWidths(linear.bits);
  for (size_t f = 0; f < widths.size(); ++f)
    rows[f] = codes[f].data() + row * PackedRowBytes(linear.cols, widths[f]) + PackedRowBytes(column, widths[f]);
  return rows;
}

namespace reference {

float LoadFloat(ByteSpan array, DType type, uint64_t i) {
  if (type == DType::kF16) return F16ToF32(Load<uint16_t>(array.data() + 2 * i));
  if (type == DType::kBF16) return BF16ToF32(Load<uint16_t>(array.data() + 2 * i));
  return Load<float>(array.data() + 4 * i);
}

namespace {

uint8_t CodeAt(const EncodedMatrix& m, uint64_t row, uint64_t column) {
  if (m.nested) {
    column += row * m.linear.cols;
    row = 0;
  }
  const uint64_t row_cols = m.nested ? m.linear.rows * m.linear.cols : m.linear.cols;
  unsigned code = 0;
  int shift = 0;
  size_t field = 0;
  for (int width : FieldWidths(m.linear.bits)) {
    const uint64_t f = static_cast<uint64_t>(width), unit = column / kPackUnit, j = column % kPackUnit;
    const uint64_t byte = row * PackedRowBytes(row_cols, width) + unit * 8 * f + j % (8 * f);
    const unsigned bits = std::to_integer<unsigned>(m.codes[field++][byte]) >> (f * (j / (8 * f)));
    code |= (bits & ((1u << width) - 1)) << shift;
    shift += width;
  }
  return static_cast<uint8_t>(code);
}

// m(q), then the operations with s, z and o that are there. `column` is the stored one.
float GroupedValue(const EncodedMatrix& m, uint64_t row, uint64_t column) {
  const Linear& l = m.linear;
  const uint8_t q = CodeAt(m, row, column);
  const uint64_t group = row / l.group_rows * l.groups_across() + column / l.group_cols;
  float w = l.codebook ? Load<float>(m.codebook.data() + 4 * q) : static_cast<float>(q);
  if (l.z.form != OperandForm::kAbsent) w = RoundTo(l.arithmetic, w - GroupOperand(m, 1, group));
  if (l.s.form != OperandForm::kAbsent) w = RoundTo(l.arithmetic, GroupOperand(m, 0, group) * w);
  if (l.o.form != OperandForm::kAbsent) w = RoundTo(l.arithmetic, w - GroupOperand(m, 2, group));
  return w;
}

}  // namespace

uint64_t OutlierColumn(const EncodedMatrix& m, uint64_t i) {
  return m.linear.column_bytes() == 2 ? Load<uint16_t>(m.outlier_columns.data() + 2 * i)
                                      : Load<uint32_t>(m.outlier_columns.data() + 4 * i);
}

void AddOutliers(const EncodedMatrix& m, uint64_t row, uint64_t begin, uint64_t end, float* out) {
  const Linear& l = m.linear;
  const bool sparse = l.outliers == OutlierForm::kUnstructured;
  uint64_t i = sparse ? Load<uint64_t>(m.outlier_rows.data() + 8 * row) : 0;
  const uint64_t last = sparse ? Load<uint64_t>(m.outlier_rows.data() + 8 * (row + 1)) : l.outlier_count;
  uint64_t high = last;
  while (i < high) {  // the first one at or after `begin`
    const uint64_t middle = i + (high - i) / 2;
    if (OutlierColumn(m, middle) < begin) {
      i = middle + 1;
    } else {
      high = middle;
    }
  }
  for (; i < last; ++i) {
    const uint64_t column = OutlierColumn(m, i);
    if (column >= end) break;
    const float h = LoadFloat(m.outlier_values, l.outlier_type, sparse ? i : row * l.outlier_count + i);
    out[column - begin] = RoundTo(l.arithmetic, out[column - begin] + h);
  }
}

float GroupOperand(const EncodedMatrix& m, int number, uint64_t group) {
  const Operand& operand = m.operand(number);
  switch (operand.form) {
    case OperandForm::kAbsent:
      return number == 0 ? 1.0f : 0.0f;
    case OperandForm::kConstant:
      return operand.constant;
    case OperandForm::kArray:
      return LoadFloat(m.operand_array(number), operand.type, group);
    case OperandForm::kNested:
      break;
  }
  const EncodedMatrix& nested = m.nested_operand(number);
  return GroupedValue(nested, group / nested.linear.cols, group % nested.linear.cols);
}

void DecodeElements(const EncodedMatrix& m, uint64_t first, uint64_t count, float* out) {
  const Linear& l = m.linear;
  while (count > 0) {
    const uint64_t row = first / l.cols, begin = first % l.cols, end = std::min(l.cols, begin + count);
    for (uint64_t c = begin; c < end; ++c) {
      float w = GroupedValue(m, row, l.permutation ? m.stored_column[c] : c);
      if (l.t.form == OperandForm::kConstant) w = RoundTo(l.arithmetic, w * l.t.constant);
      if (l.t.form == OperandForm::kArray) w = RoundTo(l.arithmetic, w * LoadFloat(m.t, l.t.type, c));
      out[c - begin] = w;
    }
    if (l.outliers != OutlierForm::kNone) AddOutliers(m, row, begin, end, out);
    if (l.result != DType::kF32)
      std::transform(out, out + (end - begin), out, [&](float w) { return RoundTo(l.result, w); });
    out += end - begin;
    count -= end - begin;
    first += end - begin;
  }
}

void UnpackCodes(const EncodedMatrix& m, uint64_t first, uint64_t count, uint8_t* out) {
  for (uint64_t i = 0; i < count; ++i) out[i] = CodeAt(m, (first + i) / m.linear.cols, (first + i) % m.linear.cols);
}

}  // namespace reference
}  // namespace ingot

#include "kernels/sparse_part.h"

#include <algorithm>
#include <cmath>

#include "format/packing.h"
#include "kernels/operand_rows.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

constexpr uint64_t kFewActivations = 8;

}  // namespace

SparsePart::SparsePart(const EncodedMatrix& matrix, const MatrixSlice& slice, const Product& product)
    : matrix_(&matrix), slice_(slice), product_(product), has_outliers_(matrix.linear.outliers != OutlierForm::kNone) {
  if (!has_outliers_ || product.x_rows <= kFewActivations) return;
  transposed_.resize(slice.columns * product.x_rows);
  for (uint64_t n = 0; n < product.x_rows; ++n) {
    for (uint64_t c = 0; c < slice.columns; ++c)
      transposed_[c * product.x_rows + n] = product.x[n * product.x_stride + c];
  }
}

bool SparsePart::TakeLargeColumns(const MatrixSlice& stored_slice, const float* stored_x, uint64_t stored_stride,
                                  std::vector<float>& values) {
  const Product& p = product_;
  std::vector<uint64_t> large;
  for (uint64_t c = 0; c < slice_.columns; ++c) {
    bool over = false;
    for (uint64_t n = 0; n < p.x_rows; ++n) over |= std::abs(p.x[n * p.x_stride + c]) > p.threshold;
    if (over) large.push_back(c);
  }
  constexpr uint64_t kMostShare = 8;  // an eighth: two passes would take longer than one in f32
  if (large.size() > slice_.columns / kMostShare) return false;
  if (large.empty()) return true;
  if (values.empty()) {
    values.resize(p.x_rows * stored_slice.columns);
    for (uint64_t n = 0; n < p.x_rows; ++n) {
      std::copy(stored_x + n * stored_stride, stored_x + n * stored_stride + stored_slice.columns,
                values.begin() + static_cast<ptrdiff_t>(n * stored_slice.columns));
    }
  }
  for (uint64_t c : large) {
    const uint64_t logical = slice_.column + c;
    const uint64_t stored = matrix_->linear.permutation ? matrix_->stored_column[logical] : logical;
    LargeColumn column{stored, std::vector<float>(p.x_rows)};
    for (uint64_t n = 0; n < p.x_rows; ++n)
      std::swap(column.values[n], values[n * stored_slice.columns + stored - stored_slice.column]);
    large_.push_back(std::move(column));
  }
  return true;
}

SparseRows::SparseRows(const SparsePart& part, uint64_t first, uint64_t count) : part_(part), first_(first) {
  if (!part.large_.empty()) DecodeLarge(count);
}

void SparseRows::DecodeLarge(uint64_t count) {
  const EncodedMatrix& m = *part_.matrix_;
  const Linear& l = m.linear;
  const uint64_t begin = part_.slice_.row + first_;
  OperandRows scales(m, OperandRows::kScale, begin + count), zeros(m, OperandRows::kZeroPoint, begin + count),
      offsets(m, OperandRows::kOffset, begin + count);
  const auto widths = FieldWidths(l.bits);
  large_.resize(count * part_.large_.size());
  float* to = large_.data();
  for (uint64_t row = begin; row < begin + count; ++row) {
    const float *s = scales.Row(row), *z = zeros.Row(row), *o = offsets.Row(row);
    for (const SparsePart::LargeColumn& column : part_.large_) {
      unsigned code = 0;
      int shift = 0;
      for (size_t f = 0; f < widths.size(); ++f) {
        const uint64_t width = widths[f], in_unit = column.stored % kPackUnit;
        const uint64_t byte =
            row * PackedRowBytes(l.cols, widths[f]) + column.stored / kPackUnit * 8 * width + in_unit % (8 * width);
        const unsigned bits = std::to_integer<unsigned>(m.codes[f][byte]) >> (width * (in_unit / (8 * width)));
        code |= (bits & ((1u << width) - 1)) << shift;
        shift += widths[f];
      }
      const float value = l.codebook ? Load<float>(m.codebook.data() + 4 * code) : static_cast<float>(code);
      const uint64_t group = column.stored / l.group_cols;
      *to++ = s[group] * (value - z[group]) - o[group];
    }
  }
}

template <class Use>
void SparseRows::ForOutliers(uint64_t row, const Use& use) const {
  const EncodedMatrix& m = *part_.matrix_;
  const Linear& l = m.linear;
  const uint64_t view_row = part_.slice_.row + row, begin = part_.slice_.column, end = begin + part_.slice_.columns;
  const bool sparse = l.outliers == OutlierForm::kUnstructured;
  uint64_t i = sparse ? Load<uint64_t>(m.outlier_rows.data() + 8 * view_row) : 0;
  uint64_t last = sparse ? Load<uint64_t>(m.outlier_rows.data() + 8 * (view_row + 1)) : l.outlier_count;
  const uint64_t values = sparse ? 0 : view_row * l.outlier_count;
  while (i < last && reference::OutlierColumn(m, i) < begin) ++i;
  while (i < last && reference::OutlierColumn(m, last - 1) >= end) --last;
  constexpr uint64_t kAtOnce = 128;
  float widened[kAtOnce];
  while (i < last) {
    const uint64_t count = std::min(kAtOnce, last - i);
    WidenToF32(l.outlier_type, m.outlier_values.data() + (values + i) * InfoOf(l.outlier_type).size, count, widened);
    if (l.column_bytes() == 2) {
      const std::byte* columns = m.outlier_columns.data() + 2 * i;
      for (uint64_t k = 0; k < count; ++k) use(Load<uint16_t>(columns + 2 * k) - begin, widened[k], k);
    } else {
      const std::byte* columns = m.outlier_columns.data() + 4 * i;
      for (uint64_t k = 0; k < count; ++k) use(Load<uint32_t>(columns + 4 * k) - begin, widened[k], k);
    }
    i += count;
  }
}

float SparseRows::Of(uint64_t row, uint64_t n) const {
  float sum = 0.0f;
  const float* large = large_.data() + (row - first_) * part_.large_.size();
  for (size_t i = 0; i < part_.large_.size(); ++i) sum += large[i] * part_.large_[i].values[n];
  if (!part_.has_outliers_) return sum;
  const float* x = part_.product_.x + n * part_.product_.x_stride;
  float sums[4] = {sum, 0.0f, 0.0f, 0.0f};  // several, since each addition waits for the one before
  ForOutliers(row, [&](uint64_t column, float h, uint64_t k) { sums[k % 4] += h * x[column]; });
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

void SparseRows::AddTo(uint64_t row, uint64_t first_x, uint64_t count, float* sums) const {
  const auto add = [&](float weight, const float* x) {
    for (uint64_t n = 0; n < count; ++n) sums[n] += weight * x[n];
  };
  const float* large = large_.data() + (row - first_) * part_.large_.size();
  for (size_t i = 0; i < part_.large_.size(); ++i) add(large[i], part_.large_[i].values.data() + first_x);
  if (!part_.has_outliers_) return;
  const uint64_t x_rows = part_.product_.x_rows;
  ForOutliers(
      row, [&](uint64_t column, float h, uint64_t) { add(h, part_.transposed_.data() + column * x_rows + first_x); });
}

}  // namespace ingot

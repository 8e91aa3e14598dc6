#include "kernels/sparse_part.h"

#include <algorithm>
#include <cmath>

#include "format/packing.h"
#include "kernels/operand_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sparse_part.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/half-inl.h"

#ifndef INGOT_KERNELS_SPARSE_PART_CC_ONCE_  // not once for each target
#define INGOT_KERNELS_SPARSE_PART_CC_ONCE_
namespace ingot {
namespace {

// The outliers of a row that lie in the columns of a slice.
struct RowOutliers {
  const std::byte* values;
  const std::byte* columns;
  DType type;             // of the values
  uint64_t column_bytes;  // 2 or 4
  uint64_t count;
  uint64_t begin;  // the slice's first column

  float value(uint64_t i) const {
    if (type == DType::kF32) return Load<float>(values + 4 * i);
    const auto bits = Load<uint16_t>(values + 2 * i);
    return type == DType::kF16 ? F16ToF32(bits) : BF16ToF32(bits);
  }
  uint64_t column(uint64_t i) const {
    return (column_bytes == 2 ? Load<uint16_t>(columns + 2 * i) : Load<uint32_t>(columns + 4 * i)) - begin;
  }
};

RowOutliers OutliersOf(const EncodedMatrix& m, const MatrixSlice& slice, uint64_t row) {
  const Linear& l = m.linear;
  const uint64_t view_row = slice.row + row, begin = slice.column, end = begin + slice.columns;
  const bool sparse = l.outliers == OutlierForm::kUnstructured;
  uint64_t first = sparse ? Load<uint64_t>(m.outlier_rows.data() + 8 * view_row) : 0;
  uint64_t last = sparse ? Load<uint64_t>(m.outlier_rows.data() + 8 * (view_row + 1)) : l.outlier_count;
  while (first < last && reference::OutlierColumn(m, first) < begin) ++first;
  while (first < last && reference::OutlierColumn(m, last - 1) >= end) --last;
  const uint64_t value = first + (sparse ? 0 : view_row * l.outlier_count), size = InfoOf(l.outlier_type).size;
  RowOutliers o;
  o.type = l.outlier_type, o.column_bytes = l.column_bytes(), o.count = last - first, o.begin = begin;
  o.values = m.outlier_values.data() + value * size;
  o.columns = m.outlier_columns.data() + first * o.column_bytes;
  return o;
}

}  // namespace
}  // namespace ingot
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX2
using Quad = hn::Full128<float>;

HWY_INLINE hn::Vec<Quad> WidenQuad(const RowOutliers& o, uint64_t i) {
  const Quad quad;
  if (o.type == DType::kF32) return hn::LoadU(quad, reinterpret_cast<const float*>(o.values + 4 * i));
  const hn::Rebind<uint16_t, Quad> d16;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(o.values + 2 * i));
  if (o.type == DType::kF16) return hn::PromoteTo(quad, hn::BitCast(hn::Rebind<hwy::float16_t, Quad>(), bits));
  return hn::BitCast(quad, hn::ShiftLeft<16>(hn::PromoteTo(hn::Rebind<uint32_t, Quad>(), bits)));
}
// Loads put together: instructions that gather take longer (6.9 ns for 16 values on Zen 4, against 4.0).
HWY_INLINE hn::Vec<Quad> LoadQuad(const RowOutliers& o, uint64_t i, const float* x) {
  __m128 quad = _mm_load_ss(x + o.column(i));
  quad = _mm_insert_ps(quad, _mm_load_ss(x + o.column(i + 1)), 0x10);
  quad = _mm_insert_ps(quad, _mm_load_ss(x + o.column(i + 2)), 0x20);
  return hn::Vec<Quad>{_mm_insert_ps(quad, _mm_load_ss(x + o.column(i + 3)), 0x30)};
}

float DotOutliers(const RowOutliers& o, const float* x) {
  const Quad quad;
  auto even = hn::Zero(quad), odd = even;
  uint64_t i = 0;
  for (; i + 8 <= o.count; i += 8) {
    even = hn::MulAdd(WidenQuad(o, i), LoadQuad(o, i, x), even);
    odd = hn::MulAdd(WidenQuad(o, i + 4), LoadQuad(o, i + 4, x), odd);
  }
  if (i + 4 <= o.count) {
    even = hn::MulAdd(WidenQuad(o, i), LoadQuad(o, i, x), even);
    i += 4;
  }
  float total = hn::GetLane(hn::SumOfLanes(quad, hn::Add(even, odd)));
  for (; i < o.count; ++i) total += o.value(i) * x[o.column(i)];
  return total;
}
#else
float DotOutliers(const RowOutliers& o, const float* x) {
  float sums[4] = {};  // several, since each addition waits for the one before
  for (uint64_t i = 0; i < o.count; ++i) sums[i % 4] += o.value(i) * x[o.column(i)];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}
#endif

// y[n * y_stride + row] += the sum for rows [first, first + count) of the slice and each row of activations.
void DotOutlierRows(const EncodedMatrix& m, const MatrixSlice& slice, uint64_t first, uint64_t count, const Product& p,
                    float* y, uint64_t y_stride) {
  for (uint64_t row = first; row < first + count; ++row) {
    const RowOutliers outliers = OutliersOf(m, slice, row);
    if (outliers.count == 0) continue;
    for (uint64_t n = 0; n < p.x_rows; ++n) y[n * y_stride + row] += DotOutliers(outliers, p.x + n * p.x_stride);
  }
}

// sums[n] += weights[i] * x[i][n] for all i < terms, n < count.
void AddWeighted(const float* weights, const float* const* x, uint64_t terms, uint64_t count, float* sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  uint64_t n = 0;
  for (; n + 4 * lanes <= count; n += 4 * lanes) {
    VF s0 = hn::LoadU(df, sums + n), s1 = hn::LoadU(df, sums + n + lanes), s2 = hn::LoadU(df, sums + n + 2 * lanes),
       s3 = hn::LoadU(df, sums + n + 3 * lanes);
    for (uint64_t i = 0; i < terms; ++i) {
      const VF w = hn::Set(df, weights[i]);
      s0 = hn::MulAdd(w, hn::LoadU(df, x[i] + n), s0);
      s1 = hn::MulAdd(w, hn::LoadU(df, x[i] + n + lanes), s1);
      s2 = hn::MulAdd(w, hn::LoadU(df, x[i] + n + 2 * lanes), s2);
      s3 = hn::MulAdd(w, hn::LoadU(df, x[i] + n + 3 * lanes), s3);
    }
    hn::StoreU(s0, df, sums + n);
    hn::StoreU(s1, df, sums + n + lanes);
    hn::StoreU(s2, df, sums + n + 2 * lanes);
    hn::StoreU(s3, df, sums + n + 3 * lanes);
  }
  for (; n + lanes <= count; n += lanes) {
    VF sum = hn::LoadU(df, sums + n);
    for (uint64_t i = 0; i < terms; ++i) sum = hn::MulAdd(hn::Set(df, weights[i]), hn::LoadU(df, x[i] + n), sum);
    hn::StoreU(sum, df, sums + n);
  }
  for (; n < count; ++n) {
    for (uint64_t i = 0; i < terms; ++i) sums[n] += weights[i] * x[i][n];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(DotOutlierRows);
HWY_EXPORT(AddWeighted);

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
  std::vector<uint8_t> over(slice_.columns);
  for (uint64_t n = 0; n < p.x_rows; ++n) {
    for (uint64_t c = 0; c < slice_.columns; ++c) over[c] |= std::abs(p.x[n * p.x_stride + c]) > p.threshold ? 1 : 0;
  }
  std::vector<uint64_t> large;
  for (uint64_t c = 0; c < slice_.columns; ++c) {
    if (over[c] != 0) large.push_back(c);
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

SparseRows::SparseRows(const SparsePart& part, uint64_t first, uint64_t count)
    : part_(part), first_(first), count_(count) {
  if (!part.large_.empty()) DecodeLarge();
}

void SparseRows::DecodeLarge() {
  const EncodedMatrix& m = *part_.matrix_;
  const Linear& l = m.linear;
  const uint64_t begin = part_.slice_.row + first_, end = begin + count_;
  OperandRows scales(m, OperandRows::kScale, end), zeros(m, OperandRows::kZeroPoint, end),
      offsets(m, OperandRows::kOffset, end);
  const auto widths = FieldWidths(l.bits);
  struct Place {  // of a column's code in each row
    uint64_t group;
    uint64_t byte[kMaxFields];
    unsigned shift[kMaxFields];
  };
  std::vector<Place> places;
  for (const SparsePart::LargeColumn& column : part_.large_) {
    Place place{column.stored / l.group_cols, {}, {}};
    for (size_t f = 0; f < widths.size(); ++f) {
      const uint64_t lanes = 8 * static_cast<uint64_t>(widths[f]), in_unit = column.stored % kPackUnit;
      place.byte[f] = column.stored / kPackUnit * lanes + in_unit % lanes;
      place.shift[f] = static_cast<unsigned>(widths[f]) * static_cast<unsigned>(in_unit / lanes);
    }
    places.push_back(place);
  }
  large_.resize(count_ * places.size());
  float* to = large_.data();
  for (uint64_t row = begin; row < end; ++row) {
    const float *s = scales.Row(row), *z = zeros.Row(row), *o = offsets.Row(row);
    const FieldRows fields = m.fields_at(row, 0);
    for (const Place& place : places) {
      unsigned code = 0, above = 0;
      for (size_t f = 0; f < widths.size(); ++f) {
        const unsigned width = static_cast<unsigned>(widths[f]);
        const unsigned bits = std::to_integer<unsigned>(fields[f][place.byte[f]]) >> place.shift[f];
        code |= (bits & ((1u << width) - 1)) << above;
        above += width;
      }
      const float value = l.codebook ? Load<float>(m.codebook.data() + 4 * code) : static_cast<float>(code);
      *to++ = s[place.group] * (value - z[place.group]) - o[place.group];
    }
  }
}

void SparseRows::AddTo(float* y, uint64_t y_stride) const {
  const Product& p = part_.product_;
  if (part_.has_outliers_)
    HWY_DYNAMIC_DISPATCH(DotOutlierRows)(*part_.matrix_, part_.slice_, first_, count_, p, y, y_stride);
  for (uint64_t row = first_; row < first_ + count_ && !part_.large_.empty(); ++row) {
    const float* large = LargeOf(row);
    for (uint64_t n = 0; n < p.x_rows; ++n) {
      float sum = 0.0f;
      for (size_t i = 0; i < part_.large_.size(); ++i) sum += large[i] * part_.large_[i].values[n];
      y[n * y_stride + row] += sum;
    }
  }
}

void SparseRows::AddRowTo(uint64_t row, uint64_t first_x, uint64_t count, float* sums) const {
  constexpr uint64_t kAtOnce = 128;
  float weights[kAtOnce];
  const float* x[kAtOnce];
  uint64_t terms = 0;
  const auto add = [&](float weight, const float* values) {
    weights[terms] = weight, x[terms] = values;
    if (++terms < kAtOnce) return;
    HWY_DYNAMIC_DISPATCH(AddWeighted)(weights, x, terms, count, sums);
    terms = 0;
  };
  const float* large = LargeOf(row);
  for (size_t i = 0; i < part_.large_.size(); ++i) add(large[i], part_.large_[i].values.data() + first_x);
  if (part_.has_outliers_) {
    const RowOutliers o = OutliersOf(*part_.matrix_, part_.slice_, row);
    for (uint64_t i = 0; i < o.count; ++i)
      add(o.value(i), part_.transposed_.data() + o.column(i) * part_.product_.x_rows + first_x);
  }
  HWY_DYNAMIC_DISPATCH(AddWeighted)(weights, x, terms, count, sums);
}

}  // namespace ingot
#endif  // HWY_ONCE

// What goes after products on tensor cores, and products for matrices that they do not take.
#pragma once

#include "kernels/cuda/outliers.cuh"
#include "kernels/cuda/product_arrange.cuh"
#include "kernels/cuda/raw.cuh"

namespace ingot::cuda {

// The lane's share of what outliers of a row give with row n of the activations.
INGOT_DEVICE float OutlierProducts(const ProductParams& p, uint64_t row, uint32_t n) {
  const MatrixView& m = p.matrix;
  if (m.outliers == kNone) return 0.0f;
  const bool sparse = m.outliers == kUnstructured;
  const uint64_t begin = sparse ? RowStart(m, row) : 0, end = sparse ? RowStart(m, row + 1) : m.outlier_count;
  const uint64_t first_value = sparse ? 0 : row * m.outlier_count;
  float sum = 0;
  for (uint64_t i = begin + ThreadIndex() % kWarp; i < end; i += kWarp) {
    const uint64_t column = OutlierColumn(m, i) - p.slice.column;  // far beyond the slice, where before it
    if (column >= p.slice.columns) continue;
    const float h = LoadFloat(m.outlier_values, m.outlier_type, first_value + i);
    sum = MultiplyAdd(h, LoadFloat(p.plain_x, p.plain_type, n * p.plain_stride + column), sum);
  }
  return sum;
}
// That of the columns that integers leave out.
INGOT_DEVICE float LargeProducts(const ProductParams& p, uint64_t row, uint32_t n) {
  float sum = 0;
  if (p.large == nullptr) return sum;
  const uint32_t count = LoadGlobal<uint32_t>(p.large);
  for (uint32_t i = 1 + ThreadIndex() % kWarp; i <= count; i += kWarp) {
    const uint64_t c = LoadGlobal<uint32_t>(p.large + i);
    const float x = LoadFloat(p.plain_x, p.plain_type, n * p.plain_stride + c);
    sum = MultiplyAdd(ElementValue(p.matrix, row, p.slice.column + c), x, sum);
  }
  return sum;
}

INGOT_DEVICE void StoreY(const ProductParams& p, uint64_t row, uint32_t n, float sum) {
  float* const y = p.y + n * p.y_stride + row;
  StoreGlobal(y, AsBits(p.add ? Add(sum, *y) : sum));
}

// Y from the sums of the slices and the outliers: a warp for each row.
INGOT_KERNEL(kProductThreads, 4) FinishProduct(const ProductParams p) {
  const uint64_t row = static_cast<uint64_t>(BlockIndex()) * kSparseRows + ThreadIndex() / kWarp;
  if (row >= p.slice.rows) return;
  const uint32_t rows = p.pairs ? p.x_rows / 2 : p.x_rows, lane = ThreadIndex() % kWarp;
  for (uint32_t n = 0; n < rows; ++n) {
    float sum = Add(OutlierProducts(p, p.slice.row + row, n), LargeProducts(p, p.slice.row + row, n));
    for (uint32_t slice = lane; slice < p.slices; slice += kWarp)
      sum = Add(sum, AsFloat(LoadGlobal<uint32_t>(p.out + slice * p.slice_stride + n * p.out_stride + row)));
    sum = ReduceWarp(sum);
    if (lane == 0) StoreY(p, row, n, sum);
  }
}

// A weight before permutation, t and h, of a group whose operands are fetched once.
struct OpenOperands {
  uint64_t group = ~uint64_t{0};
  GroupValues values = {};

  INGOT_DEVICE float Weight(const MatrixView& m, uint64_t row, uint64_t first_group, uint64_t column) {
    if (m.raw) return LoadRaw(m.raw_type, m.root.codes[0], row * m.raw_stride + column);
    const uint64_t of = first_group + Divide(column, m.root.group_columns);
    if (of != group) values = GroupOperands(m, of), group = of;
    return Grouped(m.root, values, EntryOf(m.root, CodeAt(m.root, row * m.row_units, column)));
  }
};

// Any matrix, by the meaning of its elements: a warp for each row, 8 rows of activations at a time, as f32 in the order
// of stored columns.
INGOT_KERNEL(kProductThreads, 4) ProductAny(const ProductParams p) {
  const MatrixView& m = p.matrix;
  const uint64_t of_slice = static_cast<uint64_t>(BlockIndex()) * kSparseRows + ThreadIndex() / kWarp;
  if (of_slice >= p.slice.rows) return;
  const uint64_t row = p.slice.row + of_slice, first_group = Divide(row, m.root.group_rows) * m.root.groups_across;
  const uint64_t first_column = m.stored_column != nullptr ? 0 : p.slice.column, columns = p.window.columns;
  const float t = m.t.form == kConstant ? m.t.constant : 1.0f;
  constexpr uint32_t kAtOnce = 8;
  for (uint32_t first = 0; first < p.x_rows; first += kAtOnce) {
    float sums[kAtOnce] = {};
    OpenOperands open;
    for (uint64_t c = ThreadIndex() % kWarp; c < columns; c += kWarp) {
      const float w = Multiply(open.Weight(m, row, first_group, first_column + c), t);
      INGOT_UNROLL
      for (uint32_t n = 0; n < kAtOnce; ++n) {
        if (first + n < p.x_rows) sums[n] = MultiplyAdd(w, LoadFloat(p.x, kF32, (first + n) * columns + c), sums[n]);
      }
    }
    INGOT_UNROLL
    for (uint32_t n = 0; n < kAtOnce; ++n) {
      if (first + n >= p.x_rows) break;
      const float sum = ReduceWarp(Add(sums[n], OutlierProducts(p, row, first + n)));
      if (ThreadIndex() % kWarp == 0) StoreY(p, of_slice, first + n, sum);
    }
  }
}

}  // namespace ingot::cuda

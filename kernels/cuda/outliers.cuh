// Writes the values at the positions of outliers, once more and from the beginning: h is added before the rounding to
// the result type. Runs after the kernel that decoded the slice. A thread for each outlier.
#pragma once

#include "kernels/cuda/decode_pieces.cuh"

namespace ingot::cuda {

INGOT_DEVICE uint64_t OutlierColumn(const MatrixView& m, uint64_t i) {
  return m.outlier_column_bytes == 2 ? LoadGlobal<uint16_t>(Bytes(m.outlier_columns, 2 * i))
                                     : LoadGlobal<uint32_t>(Bytes(m.outlier_columns, 4 * i));
}
INGOT_DEVICE uint64_t RowStart(const MatrixView& m, uint64_t row) {
  return LoadGlobal<uint64_t>(Bytes(m.outlier_rows, 8 * row));
}

// The row of unstructured outlier `i`, which lies in rows [low, high]: the last one that begins at or before it.
INGOT_DEVICE uint64_t OutlierRow(const MatrixView& m, uint64_t i, uint64_t low, uint64_t high) {
  while (low < high) {
    const uint64_t middle = low + (high - low + 1) / 2;
    if (RowStart(m, middle) <= i) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

template <class Out>
INGOT_KERNEL(kDecodeThreads, 4)
AddOutliers(const DecodeParams p) {
  const MatrixView& m = p.matrix;
  const uint64_t first_row = p.slice.row, last_row = p.slice.row + p.slice.rows - 1;
  const bool sparse = m.outliers == kUnstructured;
  const uint64_t begin = sparse ? RowStart(m, first_row) : first_row * m.outlier_count;
  const uint64_t end = sparse ? RowStart(m, last_row + 1) : (last_row + 1) * m.outlier_count;
  const uint64_t step = static_cast<uint64_t>(GridSize()) * BlockSize();
  for (uint64_t i = begin + static_cast<uint64_t>(BlockIndex()) * BlockSize() + ThreadIndex(); i < end; i += step) {
    const uint64_t row = sparse ? OutlierRow(m, i, first_row, last_row) : i / m.outlier_count;
    const uint64_t column = OutlierColumn(m, sparse ? i : i - row * m.outlier_count);
    if (column < p.slice.column || column - p.slice.column >= p.slice.columns) continue;
    const float h = LoadFloat(m.outlier_values, m.outlier_type, i);
    const float w = RoundTo(m.root.arithmetic, Add(ElementValue(m, row, column), h));
    StoreGlobal(PlaceOf<Out>(p, row, column), Out::Narrow(RoundTo(m.result, w)));
  }
}

}  // namespace ingot::cuda

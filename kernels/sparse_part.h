// The part of a product that is not in the packed codes: outliers, and the columns that LLM.int8 multiplies in f32.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/matrix.h"
#include "kernels/product.h"

namespace ingot {

// Immutable once made, but for TakeLargeColumns. Does not own matrix and activations. Thread-safe.
class SparsePart {
 public:
  SparsePart() = default;
  // The outliers of a slice; `product.x` are the activations of its logical columns.
  SparsePart(const EncodedMatrix& matrix, const MatrixSlice& slice, const Product& product);

  // LLM.int8: takes the columns in which an activation of `product` exceeds its threshold out of the integers: `values`
  // (activations by stored column; made here if empty) gets zeros there. False: there are so many that f32 is better
  // for all; nothing was changed.
  bool TakeLargeColumns(const MatrixSlice& stored_slice, const float* stored_x, uint64_t stored_stride,
                        std::vector<float>& values);

  bool empty() const { return !has_outliers_ && large_.empty(); }

 private:
  friend class SparseRows;
  struct LargeColumn {
    uint64_t stored;            // column of the view
    std::vector<float> values;  // of each row of activations
  };
  const EncodedMatrix* matrix_ = nullptr;
  MatrixSlice slice_;
  Product product_;
  bool has_outliers_ = false;
  std::vector<LargeColumn> large_;
  std::vector<float> transposed_;  // all activations, [column][row], for outliers and many rows of them
};

// That part for some rows of the slice, [first, first + count). For one thread.
class SparseRows {
 public:
  SparseRows(const SparsePart& part, uint64_t first, uint64_t count);

  // Adds it to the results of all these rows, for few rows of activations: one after the other.
  void AddTo(float* y, uint64_t y_stride) const;
  // sums[i] += that of row `row` of the slice and row first_x + i of the activations, i < count.
  void AddRowTo(uint64_t row, uint64_t first_x, uint64_t count, float* sums) const;

 private:
  void DecodeLarge();
  const float* LargeOf(uint64_t row) const { return large_.data() + (row - first_) * part_.large_.size(); }

  const SparsePart& part_;
  uint64_t first_, count_;
  std::vector<float> large_;  // weights, [row][large column]
};

}  // namespace ingot

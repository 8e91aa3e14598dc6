// The scales, zero-points or offsets of a matrix, a row of groups at a time, as f32.
#pragma once

#include <cstdint>

#include "hwy/aligned_allocator.h"
#include "kernels/matrix.h"

namespace ingot {

// Rows of one operand, fetched for several rows at once. Not thread-safe: each thread has its own. Does not own the
// matrix.
class OperandRows {
 public:
  enum Which { kScale = 0, kZeroPoint = 1, kOffset = 2 };
  inline static constexpr size_t kSlack = 16;  // readable floats after a row

  OperandRows() = default;
  // `row_end`: rows of the view from there on are never asked for.
  OperandRows(const EncodedMatrix& matrix, Which which, uint64_t row_end);

  // The operand of every group across the matrix in the row of groups that `row` of the view is in; a constant, or the
  // neutral value where the operand is absent, is repeated. Valid until the next call.
  const float* Row(uint64_t row) {
    if (same_) return values_.get();
    const uint64_t group_row = group_rows_ == 1 ? row : row / group_rows_;
    if (group_row < first_ || group_row >= end_) Fetch(group_row);
    return values_.get() + (group_row - first_) * across_;
  }

 private:
  void Fetch(uint64_t group_row);

  const EncodedMatrix* matrix_ = nullptr;
  Which which_ = kScale;
  bool same_ = true;  // for all groups
  uint64_t group_rows_ = 1, across_ = 1;
  uint64_t group_rows_end_ = 0;
  uint64_t first_ = 0, end_ = 0;  // rows of groups that are there
  hwy::AlignedFreeUniquePtr<float[]> values_;
};

}  // namespace ingot

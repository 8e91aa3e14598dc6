// How the parts of a tensor make up its matrix: rows are the product of all dimensions but the last, columns the last.
// Plain values; thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "format/index.h"
#include "kernels/product.h"

namespace ingot {

class PartLayout {
 public:
  PartLayout() = default;
  PartLayout(const Index& index, const TensorRecord& tensor);

  uint64_t rows() const { return rows_; }
  uint64_t columns() const { return columns_; }
  uint64_t extent(size_t part) const { return starts_[part + 1] - starts_[part]; }  // along the axis
  // Whether the parts lie along the last dimension, next to each other.
  bool by_columns() const { return by_columns_; }
  // A part as a matrix of its own.
  uint64_t part_rows(size_t part) const { return by_columns_ ? rows_ : before_ * extent(part) * between_; }
  uint64_t part_columns(size_t part) const { return by_columns_ ? extent(part) : columns_; }
  // The row (or column) of the tensor where a part begins. Of several blocks of rows the first.
  uint64_t first_row(size_t part) const { return by_columns_ ? 0 : starts_[part] * between_; }
  uint64_t first_column(size_t part) const { return by_columns_ ? starts_[part] : 0; }

  // A rectangle of a part's matrix, and where it lies in a slice of the tensor.
  struct Piece {
    uint32_t part;
    MatrixSlice in_part;
    uint64_t row, column;  // from the slice's own first ones
  };
  // Calls use(piece) for the pieces of a slice, which lies in the matrix: in the order of rows, then columns.
  template <typename Use>
  void ForPieces(const MatrixSlice& slice, Use&& use) const {
    if (slice.rows == 0 || slice.columns == 0) return;
    if (by_columns_) {
      const uint64_t end = slice.column + slice.columns;
      for (uint64_t at = slice.column; at < end;) {
        const uint32_t part = PartAt(at);
        const uint64_t next = std::min(end, starts_[part + 1]);
        use(Piece{part, {slice.row, slice.rows, at - starts_[part], next - at}, 0, at - slice.column});
        at = next;
      }
      return;
    }
    const uint64_t end = slice.row + slice.rows, block = starts_.back() * between_;
    for (uint64_t at = slice.row; at < end;) {
      const uint64_t in_block = at % block;
      const uint32_t part = PartAt(in_block / between_);
      const uint64_t in_part = in_block - starts_[part] * between_, size = extent(part) * between_;
      const uint64_t count = std::min(end - at, size - in_part);
      use(Piece{part, {at / block * size + in_part, count, slice.column, slice.columns}, at - slice.row, 0});
      at += count;
    }
  }

 private:
  uint32_t PartAt(uint64_t along_axis) const {
    if (starts_.size() == 2) return 0;
    return static_cast<uint32_t>(std::upper_bound(starts_.begin(), starts_.end(), along_axis) - starts_.begin() - 1);
  }

  uint64_t rows_ = 0, columns_ = 0;
  bool by_columns_ = false;
  uint64_t before_ = 1;           // product of the dimensions before the axis
  uint64_t between_ = 1;          // and of those between it and the last one
  std::vector<uint64_t> starts_;  // of the parts along the axis, and the end
};

}  // namespace ingot

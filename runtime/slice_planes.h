// Which bytes of an encoding's planes a slice of its view needs: so that a rank or an expert reads and verifies its own
// part of a file only.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/matrix.h"
#include "runtime/plane_store.h"

namespace ingot {

// One encoding of a file and where its planes are.
struct EncodingPlanes {
  uint32_t first_plane = 0;
  bool nested = false;
  Linear linear;                 // of a linear one
  std::vector<PlaneSpec> specs;  // of its planes, in order
  std::vector<ByteSpan> places;  // of the planes of any encoding: where they are or will be (PlaneStore::AddressOf)
};

// Elements of a view: rows [row, last_row], of the first one from column `begin` on, of the last one up to `end`.
// `flat`: the rows between are whole; else all rows have the columns [begin, end).
struct ViewSlice {
  uint64_t row = 0, last_row = 0;
  uint64_t begin = 0, end = 0;
  bool flat = false;

  bool whole_rows() const { return flat && row != last_row; }
};

// The slice of a view of `columns` columns that is its elements [first, first + count) in row-major order; count > 0.
ViewSlice FlatSlice(uint64_t columns, uint64_t first, uint64_t count);

// Pieces of a plane: `rows` of them, `size` bytes each, the first one from byte `offset` on, each of the others `pitch`
// bytes after the one before. One row is one piece of bytes and has no pitch.
struct PlaneBlock {
  uint32_t plane = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t rows = 1;
  uint64_t pitch = 0;

  uint64_t end() const { return offset + (rows - 1) * pitch + size; }  // of the last piece
};

using EmitRange = std::function<void(const PlaneRange&)>;
using EmitBlock = std::function<void(const PlaneBlock&)>;

// Calls `emit` for what a slice needs of a linear encoding and its children (in the order s, z, o), but for the planes
// that hold indices: those are used whole. `matrix` is that encoding; its row starts of outliers are read.
void ForPlaneBlocks(const EncodingPlanes& own, const std::vector<EncodingPlanes>& children, const EncodedMatrix& matrix,
                    const ViewSlice& slice, const EmitBlock& emit);

// The same for rows of `row_bytes` bytes that lie one after the other: bytes [begin, end) of each.
void ForRowBlocks(uint32_t plane, uint64_t row_bytes, const ViewSlice& slice, uint64_t begin, uint64_t end,
                  const EmitBlock& emit);

// The ranges that a block's chunks are found by: where rows are shorter than a chunk, what lies between two pieces is
// in the same chunks anyway.
void ForRangesOf(const PlaneBlock& block, const EmitRange& emit);

// ForPlaneBlocks as ranges.
inline void ForPlaneRanges(const EncodingPlanes& own, const std::vector<EncodingPlanes>& children,
                           const EncodedMatrix& matrix, const ViewSlice& slice, const EmitRange& emit) {
  ForPlaneBlocks(own, children, matrix, slice, [&](const PlaneBlock& block) { ForRangesOf(block, emit); });
}

// Whether a plane's values say where others lie.
inline bool HoldsIndices(PlaneRole role) {
  return role == PlaneRole::kPermutation || role == PlaneRole::kOutlierRows || role == PlaneRole::kOutlierColumns;
}

}  // namespace ingot

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

using EmitRange = std::function<void(const PlaneRange&)>;

// Calls `emit` for what a slice needs of a linear encoding and its children (in the order s, z, o), but for the planes
// that hold indices: those are used whole. `matrix` is that encoding; its row starts of outliers are read.
void ForPlaneRanges(const EncodingPlanes& own, const std::vector<EncodingPlanes>& children, const EncodedMatrix& matrix,
                    const ViewSlice& slice, const EmitRange& emit);

// The same for rows of `row_bytes` bytes that lie one after the other: bytes [begin, end) of each.
void ForRowRanges(uint32_t plane, uint64_t row_bytes, const ViewSlice& slice, uint64_t begin, uint64_t end,
                  const EmitRange& emit);

// Whether a plane's values say where others lie.
inline bool HoldsIndices(PlaneRole role) {
  return role == PlaneRole::kPermutation || role == PlaneRole::kOutlierRows || role == PlaneRole::kOutlierColumns;
}

}  // namespace ingot

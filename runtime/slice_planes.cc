#include "runtime/slice_planes.h"

#include <algorithm>

#include "format/checked.h"
#include "format/packing.h"

namespace ingot {
namespace {

struct Elements {
  uint64_t first, end;
};

// The elements of the array over the groups, r' * G + g, that a slice needs; `begin` and `end` are stored columns.
Elements GroupsOf(const Linear& l, const ViewSlice& slice, uint64_t begin, uint64_t end) {
  const uint64_t across = l.groups_across();
  const uint64_t first_row = slice.row / l.group_rows * across, last_row = slice.last_row / l.group_rows * across;
  if (slice.whole_rows()) return {first_row, last_row + across};
  return {first_row + begin / l.group_cols, last_row + (end - 1) / l.group_cols + 1};
}

void EmitElements(uint32_t plane, const Elements& elements, uint64_t element_size, const EmitBlock& emit) {
  if (elements.end > elements.first)
    emit({plane, elements.first * element_size, (elements.end - elements.first) * element_size});
}

void EmitCodes(const EncodingPlanes& own, size_t i, const ViewSlice& slice, uint64_t begin, uint64_t end,
               const EmitBlock& emit) {
  const Linear& l = own.linear;
  const uint32_t plane = own.first_plane + static_cast<uint32_t>(i);
  const int width = own.specs[i].field_width;
  const uint64_t unit = 8 * static_cast<uint64_t>(width);
  if (own.nested) {  // packed as one row
    const uint64_t first = (slice.row * l.cols + begin) / kPackUnit;
    EmitElements(plane, {first, CeilDiv(slice.last_row * l.cols + end, kPackUnit)}, unit, emit);
    return;
  }
  ForRowBlocks(plane, PackedRowBytes(l.cols, width), slice, begin / kPackUnit * unit, CeilDiv(end, kPackUnit) * unit,
               emit);
}

void EmitOutlierValues(const EncodingPlanes& own, size_t i, const EncodedMatrix& m, const ViewSlice& slice,
                       const EmitBlock& emit) {
  const uint32_t plane = own.first_plane + static_cast<uint32_t>(i);
  const Linear& l = own.linear;
  Elements values = {slice.row * l.outlier_count, (slice.last_row + 1) * l.outlier_count};
  if (l.outliers == OutlierForm::kUnstructured) {
    values = {Load<uint64_t>(m.outlier_rows.data() + 8 * slice.row),
              Load<uint64_t>(m.outlier_rows.data() + 8 * (slice.last_row + 1))};
  }
  EmitElements(plane, values, own.specs[i].element_size, emit);
}

void ForOwnRanges(const EncodingPlanes& own, const EncodedMatrix& m, const ViewSlice& slice, const EmitBlock& emit) {
  const Linear& l = own.linear;
  // Stored columns: with a permutation any of them may be meant.
  const bool all = l.permutation || slice.whole_rows();
  const uint64_t begin = l.permutation ? 0 : slice.begin, end = l.permutation ? l.cols : slice.end;
  for (size_t i = 0; i < own.specs.size(); ++i) {
    const PlaneSpec& spec = own.specs[i];
    const uint32_t plane = own.first_plane + static_cast<uint32_t>(i);
    switch (spec.role) {
      case PlaneRole::kCodes:
        EmitCodes(own, i, slice, begin, end, emit);
        break;
      case PlaneRole::kScales:
      case PlaneRole::kZeroPoints:
      case PlaneRole::kOffsets:
        EmitElements(plane, GroupsOf(l, slice, begin, end), spec.element_size, emit);
        break;
      case PlaneRole::kColumnScales:
        EmitElements(plane, all ? Elements{0, l.cols} : Elements{slice.begin, slice.end}, spec.element_size, emit);
        break;
      case PlaneRole::kOutlierValues:
        EmitOutlierValues(own, i, m, slice, emit);
        break;
      case PlaneRole::kCodebook:
        emit({plane, 0, spec.size});
        break;
      default:
        break;
    }
  }
}

}  // namespace

ViewSlice FlatSlice(uint64_t columns, uint64_t first, uint64_t count) {
  const uint64_t last = first + count - 1;
  return {first / columns, last / columns, first % columns, last % columns + 1, true};
}

void ForRowBlocks(uint32_t plane, uint64_t row_bytes, const ViewSlice& slice, uint64_t begin, uint64_t end,
                  const EmitBlock& emit) {
  const uint64_t first = slice.row * row_bytes + begin, rows = slice.last_row - slice.row + 1;
  if (rows == 1 || slice.whole_rows() || end - begin == row_bytes) {
    emit({plane, first, slice.last_row * row_bytes + end - first});
  } else {
    emit({plane, first, end - begin, rows, row_bytes});
  }
}

void ForRangesOf(const PlaneBlock& block, const EmitRange& emit) {
  if (block.rows == 1 || block.pitch <= kChunkSize) {
    emit({block.plane, false, block.offset, block.end() - block.offset});
    return;
  }
  for (uint64_t row = 0; row < block.rows; ++row)
    emit({block.plane, false, block.offset + row * block.pitch, block.size});
}

void ForPlaneBlocks(const EncodingPlanes& own, const std::vector<EncodingPlanes>& children, const EncodedMatrix& matrix,
                    const ViewSlice& slice, const EmitBlock& emit) {
  ForOwnRanges(own, matrix, slice, emit);
  if (children.empty()) return;
  const Linear& l = own.linear;
  const Elements groups = GroupsOf(l, slice, l.permutation ? 0 : slice.begin, l.permutation ? l.cols : slice.end);
  for (size_t i = 0; i < children.size(); ++i) {
    const EncodingPlanes& child = children[i];
    ForOwnRanges(child, matrix.children[i], FlatSlice(child.linear.cols, groups.first, groups.end - groups.first),
                 emit);
  }
}

}  // namespace ingot

// What the decoding kernels are told, by value.
#pragma once

#include <cstdint>

#include "kernels/cuda/matrix_view.h"
#include "kernels/matrix_slice.h"

namespace ingot::cuda {

inline constexpr uint32_t kDecodeThreads = 256;  // of a block, at most

// How many groups units of 64 columns have: two each; one, alone or with others; one for units 2 i and 2 i + 1.
enum class Grouping : uint8_t { kHalfUnits, kUnits, kPairs };

struct DecodeParams {
  MatrixView matrix;
  MatrixSlice slice;
  void* out = nullptr;  // (r, c) goes to element (r - slice.row) * stride + c - slice.column
  uint64_t stride = 0;
  // DecodeAny, DecodeRaw: the pieces of 16 bytes of output that have columns of the slice, in a row.
  Divider row_pieces;
  // DecodeFlat: the rows of the slice are of whole tiles, of tile_units units and at most 32 groups each.
  uint32_t tile_units = 64;
  uint32_t group_step = 0;  // 2^20 / min(units of a group, tile_units), rounded up
  Divider row_tiles;
  Divider group_units;  // by the units of a group
};

}  // namespace ingot::cuda

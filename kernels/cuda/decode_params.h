// What the decoding kernels are told, by value.
#pragma once

#include <cstdint>

#include "kernels/cuda/matrix_view.h"

namespace ingot::cuda {

inline constexpr uint32_t kDecodeThreads = 256;  // of a block, at most

struct DecodeParams {
  MatrixView matrix;
  uint64_t first = 0, end = 0;  // elements of the view, row-major; element i goes to out[i - first]
  void* out = nullptr;
  // DecodeAny: the pieces of 16 bytes of output that a row takes.
  Divider row_pieces;
  // DecodeFlat: in tiles of `tile_units` units, each with at most 32 groups (pairs of groups, where two share a unit).
  uint32_t tile_units = 64;
  uint64_t group_units = 1;           // units in a group, or 1
  uint32_t groups_per_tile_step = 0;  // 2^16 / min(group_units, 64), rounded up
};

}  // namespace ingot::cuda

// What the decoding kernels are told, by value.
#pragma once

#include <cstdint>

#include "kernels/cuda/matrix_view.h"

namespace ingot::cuda {

inline constexpr uint32_t kDecodeThreads = 256;  // of a block, at most

// How many groups units of 64 columns have: two each; one, alone or with others; one for units 2 i and 2 i + 1.
enum class Grouping : uint8_t { kHalfUnits, kUnits, kPairs };

struct DecodeParams {
  MatrixView matrix;
  uint64_t first = 0, end = 0;  // elements of the view, row-major; element i goes to out[i - first]
  void* out = nullptr;
  // DecodeAny: the pieces of 16 bytes of output that a row takes.
  Divider row_pieces;
  // DecodeFlat: the range is of whole tiles, of tile_units units and at most 32 groups each.
  uint32_t tile_units = 64;
  uint32_t group_step = 0;  // 2^16 / min(units of a group, 64), rounded up
  Divider group_units;      // by the units of a group
  uint64_t groups = 1;      // of the matrix
};

}  // namespace ingot::cuda

// What the kernels of products are told, by value, and the order that activations are put in for them.
#pragma once

#include <cstdint>

#include "kernels/cuda/matrix_view.h"
#include "kernels/matrix_slice.h"

namespace ingot::cuda {

inline constexpr uint32_t kProductThreads = 128;  // of a block
inline constexpr uint32_t kBlockRows = 64;        // of the matrix: 16 a warp
inline constexpr uint32_t kStages = 5;            // pieces of k in shared memory, all but one on their way
inline constexpr uint32_t kChunkGroups = 32;      // whose operands are in shared memory
inline constexpr uint32_t kOperandStride = kBlockRows + 2;
inline constexpr uint32_t kSparseRows =
    kProductThreads / kWarp;  // rows of a block of the kernels that take a warp a row

// Groups of columns on tensor cores: halves of units, units of 64 columns, pairs of units, whole rows; kAny: whatever
// ProductParams says.
enum class Groups : uint8_t { kAny, kHalves, kUnits, kPairs, kRow };

// What activations are arranged as.
enum class Arrangement : uint8_t { kF16, kBF16, kInt8, kF32 };

// The columns that a product reads, in the order in which they are stored: whole units from `unit` on, whole groups
// from `group` on, unless there is but one. Activations are zero for those of them that are not in the slice.
struct Window {
  uint64_t unit = 0, units = 0;
  uint64_t group = 0, groups = 0;
  uint64_t columns = 0;  // up to the end of the slice, or all with a permutation
};

// Arrangements for tensor cores: a unit of 64 columns in two halves of 32; each has, for every row of activations, four
// pieces of 8 values, one for each of the four lanes that share a row of weights. F32: rows one after the other.
struct ArrangeParams {
  MatrixView matrix;
  MatrixSlice slice;
  Window window;
  const void* x = nullptr;  // x_rows rows of slice.columns values, logical columns
  Type x_type = kF16;
  uint64_t x_stride = 0;
  uint32_t x_rows = 0;
  Arrangement arrangement = Arrangement::kF16;
  bool crossed = false;       // of four neighbours in a word the middle two change places
  bool pairs = false;         // a value is the sum of two rows' values: what one cannot hold is in the next
  uint32_t out_rows = 0;      // x_rows, twice that if in pairs
  uint64_t padded_units = 0;  // zeros beyond the columns; F32: none
  void* out = nullptr;
  float* sums = nullptr;  // [group][out_rows] of the arranged values
  // Int8: [x_rows] the largest magnitude / 127; [slice.columns] 1 where a value exceeds the threshold: left out.
  float* scales = nullptr;
  uint32_t* large = nullptr;
  uint32_t* list = nullptr;  // how many these are, and which
  float threshold = 0.0f;    // 0: none is too large
};

struct ProductParams {
  MatrixView matrix;
  MatrixSlice slice;
  Window window;
  const void* x = nullptr;  // arranged
  const float* x_sums = nullptr;
  const float* x_scales = nullptr;  // Int8
  uint32_t x_rows = 0;              // arranged ones
  bool pairs = false;
  bool shifted = false;     // there is a zero-point, an offset, or a code that is not what is multiplied
  bool half_units = false;  // groups of 32 columns
  bool add = false;
  uint32_t group_units = 1;  // otherwise: units of 64 columns a group
  uint32_t row_blocks = 1, slice_units = 0;
  uint32_t slices = 1;
  float* out = nullptr;  // y, or partial sums: [slice of units][row of x][row]
  uint64_t out_stride = 0, slice_stride = 0;
  // FinishProduct, ProductAny: the activations as they were given, for outliers and columns left out.
  const void* plain_x = nullptr;
  Type plain_type = kF16;
  uint64_t plain_stride = 0;
  const uint32_t* large = nullptr;  // ArrangeParams::list; null: none is left out
  float* y = nullptr;
  uint64_t y_stride = 0;
};

}  // namespace ingot::cuda

// Quantizes rows of f32 values to codes, scales, zero-points and outliers, as fit.h defines it. The same bits for any
// number of threads, any cut into row blocks, any compiler and any SIMD target.
//
// Outliers are excluded from fitting. h is added to the decoded code, w = RN32(base + h):
// - where the grid has an exact zero (symmetric from 2 bits, integer zero-point, codebooks) the code is the one of zero
// and h the source
//   value itself, in the type of the source (F8: F16; F64: F32);
// - elsewhere (float zero-point, symmetric 1 bit) h is an f32. The code is the one nearest to zero (1 bit: 1 where w >=
// 0), or the next one
//   towards w if its value has the other sign than w; h is the one of RN32(w - base) and its two neighbours that gives
//   the exact source value back, else the one that comes closest (in this order).
// Values that are not finite (only with allow_nonfinite) are ignored in fitting; infinities get the code of the end of
// the grid, NaN that of +0; in an outlier column they are stored as they are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "convert/method.h"
#include "convert/quantize/fit.h"
#include "convert/quantize/tensor_stats.h"
#include "format/status.h"

namespace ingot {

// The outcome of one Quantize call over `rows` rows, and its scratch memory: reuse it for the next block. One thread at
// a time.
struct QuantizedRows {
  std::vector<uint8_t> codes;             // rows * cols, row-major, one code a byte
  std::vector<float> scales;              // rows * groups_per_row, exact in scale_dtype; empty for a per-tensor group
  std::vector<uint8_t> zero_codes;        // likewise, for an integer zero-point only
  std::vector<float> zeros;               // likewise, for a float zero-point only, exact in scale_dtype
  std::vector<uint32_t> outlier_counts;   // unstructured: per row
  std::vector<uint32_t> outlier_columns;  // row after row, ascending in each
  std::vector<float> outlier_values;      // likewise, exact in outlier_dtype
  std::vector<float> column_values;       // outlier columns: rows * columns, exact in outlier_dtype
  uint64_t inexact_outliers = 0;          // stored outliers whose exact source value does not come back

  struct Scratch {
    std::vector<float> least, greatest, row, kept;
    std::vector<GroupFit> fits;
    std::vector<LinearGrid> grids;
    std::vector<uint32_t> outliers, non_finite, excluded;
    ClipSearch search;
  } scratch;
};

// Why a block cannot be quantized. The row is counted from the first row of the tensor.
struct QuantizeError {
  enum class Kind { kNonFinite, kScale };
  Kind kind;
  uint64_t row;
  uint64_t index;  // the column, or the group
  float value;     // the value, or the scale that does not fit
};

// Immutable; Quantize may be called by many threads at once, each with its own QuantizedRows.
class GroupQuantizer {
 public:
  // A quantizer for rows of `cols` columns. `fit` is what TensorStats found. kUsage for a method that makes no sense
  // (bits, ratio, scale type, kKeep), or whose per-tensor scale does not fit its type.
  static Result<GroupQuantizer> Create(const Method& method, DType source, uint64_t cols, TensorFit fit = {},
                                       bool allow_nonfinite = false);

  // Quantizes `rows` rows; values[rows * cols], the first one being row `first_row` of the tensor. Whatever `out` held
  // is replaced.
  tl::expected<void, QuantizeError> Quantize(const float* values, uint64_t first_row, uint64_t rows,
                                             QuantizedRows& out) const;

  const Method& method() const { return method_; }
  uint64_t cols() const { return cols_; }
  // Columns per group: group_size, at most cols; cols for per-channel and per-tensor groups.
  uint64_t group_cols() const { return group_; }
  // ceil(cols / group_cols); 0 for a per-tensor group, which has no arrays.
  uint64_t groups_per_row() const { return per_tensor() ? 0 : groups_; }
  bool per_tensor() const { return method_.group_size == Method::kPerTensor; }
  // Scale and zero-point of the per-tensor group.
  GroupFit tensor_fit() const { return tensor_fit_; }
  // The type that outlier values are stored in: F16, BF16 or F32.
  DType outlier_dtype() const { return outlier_dtype_; }
  std::span<const uint32_t> outlier_columns() const { return fit_.outlier_columns; }
  bool has_unstructured_outliers() const { return fit_.outlier_bits != TensorFit::kNoOutliers; }

 private:
  GroupQuantizer() = default;

  tl::expected<void, QuantizeError> QuantizeRow(const float* row, uint64_t r, uint64_t first_row,
                                                QuantizedRows& out) const;
  void FindExcluded(const float* row, uint64_t row_index, bool finite, QuantizedRows::Scratch& scratch) const;
  tl::expected<void, QuantizeError> FitGroups(const float* row, uint64_t row_index,
                                              QuantizedRows::Scratch& scratch) const;
  void Encode(const float* row, QuantizedRows::Scratch& scratch, uint8_t* codes) const;
  void StoreOutliers(const float* row, uint64_t r, QuantizedRows& out) const;
  float SplitOutlier(float value, GroupFit fit, uint8_t* code, uint64_t* inexact) const;

  Method method_;
  uint64_t cols_ = 0, group_ = 0, groups_ = 0;
  DType outlier_dtype_ = DType::kF32;
  bool allow_nonfinite_ = false, has_zero_ = true;
  TensorFit fit_;
  GroupFit tensor_fit_;
};

// "value nan at row 3, column 17" or "scale 1.2e+09 of row 3, group 0 does not fit f16; use --scale-dtype f32 or bf16".
std::string Describe(const QuantizeError& error, const Method& method);

}  // namespace ingot

// The loops of the quantizer over rows of f32 values, in SIMD. Every result has the same bits on every target, as
// elements are computed with exactly rounded operations. Thread-safe: pure functions; no alignment is needed. The
// values are finite unless a function says otherwise.
#pragma once

#include <cstddef>
#include <cstdint>

#include "convert/quantize/codebook.h"

namespace ingot {

// How the values of one group become codes on a uniform grid:
// q = rint(clamp(RN(RN(w / scale) + add), low, high)) + bias, or zero_code everywhere if scale is 0.
struct LinearGrid {
  float scale;
  float add;  // the float zero-point, else 0
  float low;
  float high;
  uint8_t bias;  // the integer zero-point, else 0
  uint8_t zero_code;
};

// The least and the greatest value of each group of `group` columns (the last one ragged) of one row; the sign of a
// zero is unspecified. Returns whether all values are finite; if not, the ranges are unspecified. cols, group > 0.
bool GroupRanges(const float* row, uint64_t cols, uint64_t group, float* least, float* greatest);

// The index of the first value that is infinite or not a number, or `count`.
uint64_t FirstNonFinite(const float* values, uint64_t count);

// Writes the ascending indices of all values whose magnitude has bits >= `bits` (as an integer, sign removed) to
// `indices`, which has room for `count`; returns how many. NaN and infinity are included.
uint64_t SelectMagnitudes(const float* values, uint64_t count, uint32_t bits, uint32_t* indices);

// Codes of one row, one grid for each group of `group` columns. Infinities are clamped; there is no NaN.
void QuantizeLinear(const float* row, uint64_t cols, uint64_t group, const LinearGrid* grids, uint8_t* codes);

// Codes of one row on the grid of one bit: 1 where w >= 0.
void QuantizeSign(const float* row, uint64_t cols, uint8_t* codes);

// Codes of one row: the entry nearest to RN(w / scale), of two the lower one; the code of zero where the scale is 0.
// Infinities are clamped; there is no NaN.
void QuantizeCodebook(const float* row, uint64_t cols, uint64_t group, const float* scales, const Codebook& book,
                      uint8_t* codes);

}  // namespace ingot

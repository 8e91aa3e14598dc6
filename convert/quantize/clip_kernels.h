// The loops of the search for a clipped range, in SIMD. Every result has the same bits on every target: elements are
// computed with exactly rounded operations, and sums run over 16 virtual lanes (element j of a sum belongs to lane j
// mod 16) that are folded l[i] + l[i+8], then i and i+4, i and i+2, i and i+1, whatever the vector width. Thread-safe:
// pure functions; no alignment is needed. All values are finite.
#pragma once

#include <cstddef>
#include <cstdint>

#include "convert/quantize/codebook.h"

namespace ingot {

// One candidate of a search for the clipping range. The error of a value is x - (the grid's nearest point to x), in
// units of the scale, with x = RN(RN(w * inverse) + add) on a uniform grid and x = RN(w * inverse) on the others.
struct ClipCandidate {
  float inverse;  // RN(1 / scale)
  float add;
  float low;
  float high;
};

inline constexpr size_t kClipBatch = 4;  // the number of candidates is a multiple of this

// What all candidates of a group have in common. Candidate i has the range c * least .. c * greatest, c = 1 - i * step
// (exact), and the scale RN((c * greatest - c * least) / divisor).
struct ClipPlan {
  enum ZeroPoint { kConstant, kInteger, kFloat };
  float least;
  float greatest;
  float step;
  float divisor;
  float levels;  // 2^bits - 1
  ZeroPoint zero_point;
  float zero;          // of kConstant
  int dropped_bits;    // of f32's mantissa, by the scale's type: 13 for f16, 16 for bf16, 0
  float least_normal;  // the least and the largest normal number of that type
  float largest;
};

// Fits `candidates` (a multiple of 16) candidates, as fit.h defines it. False, with the outputs unspecified, if a scale
// or a float zero-point is not a normal number of its type: those take the slow way.
bool FitCandidates(const ClipPlan& plan, size_t candidates, float* scales, float* zeros, ClipCandidate* list);

// For each of `candidates` (a multiple of kClipBatch) the f32 sum of the squared errors of all values, in units of its
// scale.
void ClipErrorsLinear(const float* values, uint64_t count, const ClipCandidate* list, size_t candidates, float* sums);
void ClipErrorsSign(const float* values, uint64_t count, const ClipCandidate* list, size_t candidates, float* sums);
void ClipErrorsCodebook(const float* values, uint64_t count, const Codebook& book, const ClipCandidate* list,
                        size_t candidates, float* sums);

}  // namespace ingot

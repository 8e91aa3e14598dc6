// From the range of a group to its scale and zero-point: the definitions of spec/ENCODINGS.md's encoder, in scalar
// code.
//
// A decoded value is w = s * (m(q) - z) in f32, each operation rounded once. Let n = 2^bits - 1 and RN the rounding to
// the scale's type; every other operation is an f32 operation. least and greatest are those of the values that take
// part in fitting, a zero as +0.
//   symmetric, bits >= 2:  s = RN(absmax / (2^(bits-1) - 1)), z = 2^(bits-1), q = clamp(rint(w / s) + z, 0, n)
//   symmetric, 1 bit:      s = RN(2 * absmax), z = 0.5, q = (w >= 0)
//   integer zero-point:    lo = min(least, 0), hi = max(greatest, 0), s = RN((hi - lo) / n), z = clamp(rint(-lo / s),
//   0, n),
//                          q = clamp(rint(w / s) + z, 0, n)
//   float zero-point:      s = RN((greatest - least) / n), z = RN(-least / s), q = clamp(rint(w / s + z), 0, n); if z
//   does not fit
//                          its type (a narrow range far from zero), lo and hi as above take the place of least and
//                          greatest. Only one value v: s = RN(|v|), z = 0 for v > 0 and 1 for v < 0
//   codebook:              s = RN(absmax), q = the entry nearest to w / s, of two the lower one
// A difference that overflows f32 is divided before it is taken: hi / n - lo / n. Nothing but zeros, or no values: s =
// 0, and every code is the one of zero. A scale that rounds to 0 though it is not becomes the least positive number of
// its type. Infinities clamp to the ends of the grid; NaN is taken as +0. Thread-safe: pure functions.
#pragma once

#include <cstdint>

#include "convert/method.h"
#include "convert/quantize/clip_kernels.h"
#include "convert/quantize/group_kernels.h"

namespace ingot {

// Scale and zero-point of one group, both exactly representable in the types that store them. For a symmetric grid zero
// is 2^(bits-1) or 0.5, for a codebook 0.
struct GroupFit {
  float scale = 0;
  float zero = 0;
};

// The range of the values that a group is fitted to.
struct ValueRange {
  float least = 0;
  float greatest = 0;

  friend bool operator==(const ValueRange&, const ValueRange&) = default;
};

// Fits a group. False if the scale does not fit its type; fit->scale then holds it unrounded.
bool FitRange(const Method& method, ValueRange range, GroupFit* fit);

// What the kernels need to know of a fitted group; for a method of kind kLinear.
LinearGrid GridOf(const Method& method, GroupFit fit);

// Whether the grid has a point that decodes to exactly 0 in every group: not for float zero-points and symmetric 1 bit.
bool GridHasZero(const Method& method);

// The value of a code: RN32(scale * RN32(m(code) - zero)).
float DecodeCode(const Method& method, GroupFit fit, uint8_t code);

// ---- the search for a clipped range (Method::mse_clip)
//
// Candidate i of kClipCandidates has the range c * least .. c * greatest with c = 1 - i * step / 256; the step is 7 for
// 1 and 2 bits, 6 for 3, 4 for 4, 3 for 5, 2 for 6, 1 for 7 and 8. The one with the least error wins, of equals the one
// with the larger range; its error is (f64) s * s * sum, the sum as in clip_kernels.h over the values in their order.
// Candidates whose scale does not fit its type, is 0 or has no finite f32 reciprocal do not compete, except that the
// unclipped range wins where nothing does; where it is the one that has no finite reciprocal, there is no search.
inline constexpr size_t kClipCandidates = 32;

// The range of candidate `index`.
ValueRange ClippedRange(const Method& method, ValueRange range, size_t index);

// Sums the errors of all candidates over several runs of values, then tells the winner.
class ClipSearch {
 public:
  // Starts a search in `range`. False if the unclipped range does not fit (as FitRange).
  bool Begin(const Method& method, ValueRange range, GroupFit* unclipped);
  // Adds the errors of `count` finite values. Runs are added up in f64, in the order of the calls.
  void Add(const float* values, uint64_t count);
  // The number of the winning candidate, 0 if there was nothing to search.
  size_t Winner() const;
  // Its fit; the unclipped one if there was nothing to search.
  GroupFit WinningFit() const;

 private:
  // Fits one by one; as Begin.
  bool BeginSlowly(ValueRange range, GroupFit* unclipped);
  size_t Best() const;

  Method method_;
  GroupFit unclipped_;
  size_t count_ = 0;               // candidates that compete
  size_t index_[kClipCandidates];  // of each its number, its fit
  float scales_[kClipCandidates], zeros_[kClipCandidates];
  ClipCandidate candidates_[kClipCandidates];  // padded with copies to whole batches
  double errors_[kClipCandidates];
};

}  // namespace ingot

#include "convert/quantize/clip_kernels.h"

#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "convert/quantize/clip_kernels.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "convert/quantize/book_search-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kLanes = 16;  // the virtual lanes of a sum
using DF = hn::CappedTag<float, kLanes>;
using DU = hn::RebindToUnsigned<DF>;
using VF = hn::Vec<DF>;

// The nearest integer of a value of magnitude below 2^22, to even.
HWY_INLINE VF ToInteger(VF value) {
#if HWY_TARGET <= HWY_SSE4
  return hn::Round(value);
#else
  const VF rounder = hn::Set(DF(), 0x1.8p23f);  // the sum with it has no fraction bits
  return hn::Sub(hn::Add(value, rounder), rounder);
#endif
}

// ---- fits of all candidates at once

// Rounds to f16, bf16 or f32 by dropping low mantissa bits, to nearest even; right for normal numbers of that type.
HWY_INLINE VF DropBits(VF value, const ClipPlan& plan) {
  const DU du;
  if (plan.dropped_bits == 0) return value;
  const auto bits = hn::BitCast(du, value);
  const auto odd = hn::And(hn::ShiftRightSame(bits, plan.dropped_bits), hn::Set(du, 1u));
  const auto half = hn::Set(du, (1u << (plan.dropped_bits - 1)) - 1);
  const auto kept = hn::Set(du, ~((1u << plan.dropped_bits) - 1));
  return hn::BitCast(DF(), hn::And(hn::Add(hn::Add(bits, half), odd), kept));
}

// Whether a rounded number is a finite normal one of the type.
HWY_INLINE bool AllNormal(VF magnitude, const ClipPlan& plan) {
  const DF d;
  return hn::AllTrue(
      d, hn::And(hn::Ge(magnitude, hn::Set(d, plan.least_normal)), hn::Le(magnitude, hn::Set(d, plan.largest))));
}

bool FitCandidatesTarget(const ClipPlan& plan, size_t candidates, float* scales, float* zeros, ClipCandidate* list) {
  const DF d;
  const VF levels = hn::Set(d, plan.levels), nothing = hn::Zero(d);
  HWY_ALIGN float index[kLanes], inverses[kLanes];
  for (size_t i = 0; i < candidates; i += hn::Lanes(d)) {
    for (size_t lane = 0; lane < hn::Lanes(d); ++lane) index[lane] = static_cast<float>(i + lane);
    const VF c = hn::Sub(hn::Set(d, 1.0f), hn::Mul(hn::Load(d, index), hn::Set(d, plan.step)));
    const VF low = hn::Mul(c, hn::Set(d, plan.least)), high = hn::Mul(c, hn::Set(d, plan.greatest));
    const VF scale = DropBits(hn::Div(hn::Sub(high, low), hn::Set(d, plan.divisor)), plan);
    if (!AllNormal(scale, plan)) return false;
    VF zero = hn::Set(d, plan.zero), add = nothing;
    if (plan.zero_point == ClipPlan::kInteger) {
      // At most 1.5 * 255, as the scale is normal.
      zero = hn::Min(hn::Max(ToInteger(hn::Div(hn::Neg(low), scale)), nothing), levels);
    } else if (plan.zero_point == ClipPlan::kFloat) {
      add = zero = DropBits(hn::Div(hn::Neg(low), scale), plan);
      if (!AllNormal(hn::Abs(zero), plan)) return false;
    }
    zero = hn::Add(zero, nothing);  // never -0
    hn::StoreU(scale, d, scales + i);
    hn::StoreU(zero, d, zeros + i);
    hn::Store(hn::Div(hn::Set(d, 1.0f), scale), d, inverses);
    for (size_t lane = 0; lane < hn::Lanes(d); ++lane) {
      const float z = zeros[i + lane];
      const bool grid = plan.zero_point == ClipPlan::kFloat;
      list[i + lane] = {inverses[lane], grid ? z : 0.0f, grid ? 0.0f : 0.0f - z, grid ? plan.levels : plan.levels - z};
    }
  }
  return true;
}

// ---- sums of squared errors

// The 16 virtual lanes in k vectors.
template <size_t k>
struct Bundle {
  VF head;
  Bundle<k - 1> tail;
};
template <>
struct Bundle<1> {
  VF head;
};
constexpr size_t kVectors = kLanes / hn::MaxLanes(DF());
using Lanes = Bundle<kVectors>;

template <size_t k>
HWY_INLINE void SetZero(Bundle<k>& lanes) {
  lanes.head = hn::Zero(DF());
  if constexpr (k > 1) SetZero(lanes.tail);
}

template <size_t k, class Grid>
HWY_INLINE void AddSquares(Bundle<k>& lanes, const float* values, const Grid& grid) {
  const VF error = grid(hn::LoadU(DF(), values));
  lanes.head = hn::Add(lanes.head, hn::Mul(error, error));
  if constexpr (k > 1) AddSquares(lanes.tail, values + hn::MaxLanes(DF()), grid);
}

// The same for the first lanes only, those whose `mask` has all bits set; the others add +0, which changes nothing.
template <size_t k, class Grid>
HWY_INLINE void AddMaskedSquares(Bundle<k>& lanes, const float* values, const float* mask, const Grid& grid) {
  const VF error = grid(hn::LoadU(DF(), values));
  lanes.head = hn::Add(lanes.head, hn::And(hn::Mul(error, error), hn::LoadU(DF(), mask)));
  if constexpr (k > 1) AddMaskedSquares(lanes.tail, values + hn::MaxLanes(DF()), mask + hn::MaxLanes(DF()), grid);
}

template <size_t k>
HWY_INLINE void StoreLanes(const Bundle<k>& lanes, float* out) {
  hn::StoreU(lanes.head, DF(), out);
  if constexpr (k > 1) StoreLanes(lanes.tail, out + hn::MaxLanes(DF()));
}

// Lanes i, i+8, i+4, i+12 folded to 4 lanes, then those to one: the fixed tree.
template <size_t k>
HWY_INLINE float Fold(const Bundle<k>& lanes) {
  HWY_ALIGN float four[4];
#if HWY_TARGET == HWY_SCALAR
  float all[kLanes];
  StoreLanes(lanes, all);
  for (size_t i = 0; i < 4; ++i) four[i] = (all[i] + all[i + 8]) + (all[i + 4] + all[i + 12]);
#else
  const hn::FixedTag<float, 4> d4;
  if constexpr (k == 1) {
    const hn::Half<DF> half;
    const auto eight = hn::Add(hn::LowerHalf(half, lanes.head), hn::UpperHalf(half, lanes.head));
    hn::Store(hn::Add(hn::LowerHalf(d4, eight), hn::UpperHalf(d4, eight)), d4, four);
  } else if constexpr (k == 2) {
    const auto eight = hn::Add(lanes.head, lanes.tail.head);
    hn::Store(hn::Add(hn::LowerHalf(d4, eight), hn::UpperHalf(d4, eight)), d4, four);
  } else {
    static_assert(k == 4);
    const auto even = hn::Add(lanes.head, lanes.tail.tail.head);
    hn::Store(hn::Add(even, hn::Add(lanes.tail.head, lanes.tail.tail.tail.head)), d4, four);
  }
#endif
  return (four[0] + four[2]) + (four[1] + four[3]);
}

template <class Grid>
HWY_INLINE void SumBatch(const float* values, uint64_t count, const Grid (&grids)[kClipBatch], float* sums) {
  Lanes a, b, c, d;
  SetZero(a), SetZero(b), SetZero(c), SetZero(d);
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    AddSquares(a, values + i, grids[0]);
    AddSquares(b, values + i, grids[1]);
    AddSquares(c, values + i, grids[2]);
    AddSquares(d, values + i, grids[3]);
  }
  if (i < count) {
    float last[kLanes] = {};
    uint32_t mask[kLanes] = {};
    std::memcpy(last, values + i, (count - i) * sizeof(float));
    std::memset(mask, 0xFF, (count - i) * sizeof(float));
    float float_mask[kLanes];
    std::memcpy(float_mask, mask, sizeof mask);
    AddMaskedSquares(a, last, float_mask, grids[0]);
    AddMaskedSquares(b, last, float_mask, grids[1]);
    AddMaskedSquares(c, last, float_mask, grids[2]);
    AddMaskedSquares(d, last, float_mask, grids[3]);
  }
  sums[0] = Fold(a), sums[1] = Fold(b), sums[2] = Fold(c), sums[3] = Fold(d);
}

template <bool kHasAdd>
struct LinearError {
  explicit HWY_INLINE LinearError(const ClipCandidate& c)
      : inverse(hn::Set(DF(), c.inverse)),
        add(hn::Set(DF(), c.add)),
        low(hn::Set(DF(), c.low)),
        high(hn::Set(DF(), c.high)) {}
  HWY_INLINE VF operator()(VF w) const {
    VF x = hn::Mul(w, inverse);
    if constexpr (kHasAdd) x = hn::Add(x, add);
    return hn::Sub(x, ToInteger(hn::Min(hn::Max(x, low), high)));
  }
  VF inverse, add, low, high;
};

struct SignError {
  explicit HWY_INLINE SignError(const ClipCandidate& c) : inverse(hn::Set(DF(), c.inverse)) {}
  HWY_INLINE VF operator()(VF w) const { return hn::Sub(hn::Abs(hn::Mul(w, inverse)), hn::Set(DF(), 0.5f)); }
  VF inverse;
};

struct CodebookError {
  HWY_INLINE CodebookError(const ClipCandidate& c, const BookSearch& search)
      : inverse(hn::Set(DF(), c.inverse)), book(search) {}
  HWY_INLINE VF operator()(VF w) const {
    const VF x = hn::Mul(w, inverse);
    return hn::Sub(x, book.Nearest(x));
  }
  VF inverse;
  const BookSearch& book;
};

template <class Grid>
HWY_INLINE void SumAll(const float* values, uint64_t count, const ClipCandidate* list, size_t candidates, float* sums) {
  for (size_t i = 0; i < candidates; i += kClipBatch) {
    const Grid grids[kClipBatch] = {Grid(list[i]), Grid(list[i + 1]), Grid(list[i + 2]), Grid(list[i + 3])};
    SumBatch(values, count, grids, sums + i);
  }
}

void ClipErrorsLinearTarget(const float* values, uint64_t count, const ClipCandidate* list, size_t candidates,
                            float* sums) {
  SumAll<LinearError<true>>(values, count, list, candidates, sums);
}

// Where no candidate has an `add`: adding 0 would not change the errors either.
void ClipErrorsIntegerTarget(const float* values, uint64_t count, const ClipCandidate* list, size_t candidates,
                             float* sums) {
  SumAll<LinearError<false>>(values, count, list, candidates, sums);
}

void ClipErrorsSignTarget(const float* values, uint64_t count, const ClipCandidate* list, size_t candidates,
                          float* sums) {
  SumAll<SignError>(values, count, list, candidates, sums);
}

void ClipErrorsCodebookTarget(const float* values, uint64_t count, const Codebook& book, const ClipCandidate* list,
                              size_t candidates, float* sums) {
  const BookSearch search(book.thresholds.data(), book.sorted_values.data());
  for (size_t i = 0; i < candidates; i += kClipBatch) {
    const CodebookError grids[kClipBatch] = {CodebookError(list[i], search), CodebookError(list[i + 1], search),
                                             CodebookError(list[i + 2], search), CodebookError(list[i + 3], search)};
    SumBatch(values, count, grids, sums + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(FitCandidatesTarget);
HWY_EXPORT(ClipErrorsLinearTarget);
HWY_EXPORT(ClipErrorsIntegerTarget);
HWY_EXPORT(ClipErrorsSignTarget);
HWY_EXPORT(ClipErrorsCodebookTarget);

bool FitCandidates(const ClipPlan& plan, size_t candidates, float* scales, float* zeros, ClipCandidate* list) {
  return HWY_DYNAMIC_DISPATCH(FitCandidatesTarget)(plan, candidates, scales, zeros, list);
}

void ClipErrorsLinear(const float* values, uint64_t count, const ClipCandidate* list, size_t candidates, float* sums) {
  for (size_t i = 0; i < candidates; ++i) {
    if (list[i].add != 0.0f) {
      HWY_DYNAMIC_DISPATCH(ClipErrorsLinearTarget)(values, count, list, candidates, sums);
      return;
    }
  }
  HWY_DYNAMIC_DISPATCH(ClipErrorsIntegerTarget)(values, count, list, candidates, sums);
}

void ClipErrorsSign(const float* values, uint64_t count, const ClipCandidate* list, size_t candidates, float* sums) {
  HWY_DYNAMIC_DISPATCH(ClipErrorsSignTarget)(values, count, list, candidates, sums);
}

void ClipErrorsCodebook(const float* values, uint64_t count, const Codebook& book, const ClipCandidate* list,
                        size_t candidates, float* sums) {
  HWY_DYNAMIC_DISPATCH(ClipErrorsCodebookTarget)(values, count, book, list, candidates, sums);
}

}  // namespace ingot
#endif  // HWY_ONCE

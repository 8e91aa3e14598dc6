#include "convert/quantize/group_kernels.h"

#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "convert/quantize/group_kernels.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kLanes = 16;  // the virtual lanes of a sum
using DF = hn::CappedTag<float, kLanes>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using DU8 = hn::Rebind<uint8_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;

// Adding it rounds an f32 of magnitude below 2^22 to an integer, to nearest even, in the low bits of the sum.
constexpr float kRounder = 0x1.8p23f;
constexpr int32_t kLargestFinite = 0x7F7FFFFF;

HWY_INLINE VI Magnitude(VF value) { return hn::And(hn::BitCast(DI(), value), hn::Set(DI(), 0x7FFFFFFF)); }

// ---- ranges and searches

// The range of at least a whole vector of values; the last vector overlaps the one before.
HWY_INLINE void RangeOf(const float* values, uint64_t count, float* least, float* greatest, VI& top) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  VF low = hn::LoadU(d, values), high = low;
  for (uint64_t i = 0;;) {
    const VF value = hn::LoadU(d, values + i);
    low = hn::Min(low, value);
    high = hn::Max(high, value);
    top = hn::Max(top, Magnitude(value));
    if (i + lanes == count) break;
    i = i + 2 * lanes <= count ? i + lanes : count - lanes;
  }
  *least = hn::GetLane(hn::MinOfLanes(d, low));
  *greatest = hn::GetLane(hn::MaxOfLanes(d, high));
}

bool GroupRangesTarget(const float* row, uint64_t cols, uint64_t group, float* least, float* greatest) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  VI top = hn::Zero(di);
  int32_t small_top = 0;
  for (uint64_t begin = 0, g = 0; begin < cols; begin += HWY_MIN(group, cols - begin), ++g) {
    const uint64_t count = HWY_MIN(group, cols - begin);
    if (count >= lanes) {
      RangeOf(row + begin, count, least + g, greatest + g, top);
      continue;
    }
    float low = row[begin], high = low;
    for (uint64_t i = begin; i < begin + count; ++i) {
      low = row[i] < low ? row[i] : low;
      high = row[i] > high ? row[i] : high;
      const int32_t magnitude = std::bit_cast<int32_t>(row[i]) & 0x7FFFFFFF;
      small_top = magnitude > small_top ? magnitude : small_top;
    }
    least[g] = low;
    greatest[g] = high;
  }
  return small_top <= kLargestFinite && hn::AllFalse(di, hn::Gt(top, hn::Set(di, kLargestFinite)));
}

uint64_t FirstNonFiniteTarget(const float* values, uint64_t count) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const VI limit = hn::Set(di, kLargestFinite);
  uint64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const VI a = Magnitude(hn::LoadU(d, values + i)), b = Magnitude(hn::LoadU(d, values + i + lanes));
    if (!hn::AllFalse(di, hn::Gt(hn::Max(a, b), limit))) break;
  }
  while (i < count && (std::bit_cast<int32_t>(values[i]) & 0x7FFFFFFF) <= kLargestFinite) ++i;
  return i;
}

uint64_t SelectMagnitudesTarget(const float* values, uint64_t count, uint32_t bits, uint32_t* indices) {
  const DF d;
  const DI di;
  const size_t lanes = hn::Lanes(d);
  const auto below = static_cast<int32_t>(bits) - 1;
  const VI limit = hn::Set(di, below);
  uint64_t found = 0;
  for (uint64_t i = 0; i < count;) {
    if (i + lanes <= count && hn::AllFalse(di, hn::Gt(Magnitude(hn::LoadU(d, values + i)), limit))) {
      i += lanes;
      continue;
    }
    for (const uint64_t end = HWY_MIN(i + lanes, count); i < end; ++i) {
      if ((std::bit_cast<int32_t>(values[i]) & 0x7FFFFFFF) > below) indices[found++] = static_cast<uint32_t>(i);
    }
  }
  return found;
}

// ---- codes

// Calls encode(vector) -> DU8 vector for all values of a group. The last vector overlaps the one before; a group
// shorter than a vector goes through a buffer.
template <class Encode>
HWY_INLINE void EncodeGroup(const float* values, uint64_t count, const Encode& encode, uint8_t* codes) {
  const DF d;
  const DU8 d8;
  const size_t lanes = hn::Lanes(d);
  if (count < lanes) {
    HWY_ALIGN float few[hn::MaxLanes(DF())] = {};
    HWY_ALIGN uint8_t out[HWY_MAX(hn::MaxLanes(DF()), 16)];
    std::memcpy(few, values, count * sizeof(float));
    hn::StoreU(encode(hn::Load(d, few)), d8, out);
    std::memcpy(codes, out, count);
    return;
  }
  uint64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(encode(hn::LoadU(d, values + i)), d8, codes + i);
  if (i == count) return;
  i = count - lanes;
  hn::StoreU(encode(hn::LoadU(d, values + i)), d8, codes + i);
}

struct LinearEncoder {
  explicit HWY_INLINE LinearEncoder(const LinearGrid& grid)
      : scale(hn::Set(DF(), grid.scale)),
        add(hn::Set(DF(), grid.add)),
        low(hn::Set(DF(), grid.low)),
        high(hn::Set(DF(), grid.high)),
        bias(hn::Set(DU(), grid.bias)) {}
  HWY_INLINE hn::Vec<DU8> operator()(VF w) const {
    const VF x = hn::Add(hn::Div(w, scale), add);
    const VF rounded = hn::Add(hn::Min(hn::Max(x, low), high), hn::Set(DF(), kRounder));
    return hn::TruncateTo(DU8(), hn::Add(hn::BitCast(DU(), rounded), bias));
  }
  VF scale, add, low, high;
  hn::Vec<DU> bias;
};

struct SignEncoder {
  HWY_INLINE hn::Vec<DU8> operator()(VF w) const {
    const auto one = hn::BitCast(DF(), hn::Set(DU(), 1u));
    return hn::TruncateTo(DU8(), hn::BitCast(DU(), hn::IfThenElseZero(hn::Ge(w, hn::Zero(DF())), one)));
  }
};

struct CodebookEncoder {
  HWY_INLINE CodebookEncoder(float group_scale, const Codebook& codebook)
      : scale(hn::Set(DF(), group_scale)), book(codebook) {}
  HWY_INLINE hn::Vec<DU8> operator()(VF w) const {
    const VF x = hn::Div(w, scale);
    // The codes ride through float registers, so that compare and select are of one kind on every target.
    VF code = hn::BitCast(DF(), hn::Set(DU(), book.sorted_codes[0]));
    for (size_t i = 0; i < 15; ++i) {
      const VF next = hn::BitCast(DF(), hn::Set(DU(), book.sorted_codes[i + 1]));
      code = hn::IfThenElse(hn::Gt(x, hn::Set(DF(), book.thresholds[i])), next, code);
    }
    return hn::TruncateTo(DU8(), hn::BitCast(DU(), code));
  }
  VF scale;
  const Codebook& book;
};

void QuantizeLinearTarget(const float* row, uint64_t cols, uint64_t group, const LinearGrid* grids, uint8_t* codes) {
  for (uint64_t begin = 0, g = 0; begin < cols; begin += HWY_MIN(group, cols - begin), ++g) {
    const uint64_t count = HWY_MIN(group, cols - begin);
    if (grids[g].scale == 0.0f) {
      std::memset(codes + begin, grids[g].zero_code, count);
    } else {
      EncodeGroup(row + begin, count, LinearEncoder(grids[g]), codes + begin);
    }
  }
}

void QuantizeSignTarget(const float* row, uint64_t cols, uint8_t* codes) {
  EncodeGroup(row, cols, SignEncoder(), codes);
}

void QuantizeCodebookTarget(const float* row, uint64_t cols, uint64_t group, const float* scales, const Codebook& book,
                            uint8_t* codes) {
  for (uint64_t begin = 0, g = 0; begin < cols; begin += HWY_MIN(group, cols - begin), ++g) {
    const uint64_t count = HWY_MIN(group, cols - begin);
    if (scales[g] == 0.0f) {
      std::memset(codes + begin, book.zero_code, count);
    } else {
      EncodeGroup(row + begin, count, CodebookEncoder(scales[g], book), codes + begin);
    }
  }
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
    const VF rounder = hn::Set(DF(), kRounder);
    VF x = hn::Mul(w, inverse);
    if constexpr (kHasAdd) x = hn::Add(x, add);
    const VF point = hn::Sub(hn::Add(hn::Min(hn::Max(x, low), high), rounder), rounder);
    return hn::Sub(x, point);
  }
  VF inverse, add, low, high;
};

struct SignError {
  explicit HWY_INLINE SignError(const ClipCandidate& c) : inverse(hn::Set(DF(), c.inverse)) {}
  HWY_INLINE VF operator()(VF w) const { return hn::Sub(hn::Abs(hn::Mul(w, inverse)), hn::Set(DF(), 0.5f)); }
  VF inverse;
};

struct CodebookError {
  HWY_INLINE CodebookError(const ClipCandidate& c, const Codebook& codebook)
      : inverse(hn::Set(DF(), c.inverse)), book(codebook) {}
  HWY_INLINE VF operator()(VF w) const {
    const VF x = hn::Mul(w, inverse);
    VF point = hn::Set(DF(), book.sorted_values[0]);
    for (size_t i = 0; i < 15; ++i) {
      const auto above = hn::Gt(x, hn::Set(DF(), book.thresholds[i]));
      point = hn::IfThenElse(above, hn::Set(DF(), book.sorted_values[i + 1]), point);
    }
    return hn::Sub(x, point);
  }
  VF inverse;
  const Codebook& book;
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
  for (size_t i = 0; i < candidates; i += kClipBatch) {
    const CodebookError grids[kClipBatch] = {CodebookError(list[i], book), CodebookError(list[i + 1], book),
                                             CodebookError(list[i + 2], book), CodebookError(list[i + 3], book)};
    SumBatch(values, count, grids, sums + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(GroupRangesTarget);
HWY_EXPORT(FirstNonFiniteTarget);
HWY_EXPORT(SelectMagnitudesTarget);
HWY_EXPORT(QuantizeLinearTarget);
HWY_EXPORT(QuantizeSignTarget);
HWY_EXPORT(QuantizeCodebookTarget);
HWY_EXPORT(ClipErrorsLinearTarget);
HWY_EXPORT(ClipErrorsIntegerTarget);
HWY_EXPORT(ClipErrorsSignTarget);
HWY_EXPORT(ClipErrorsCodebookTarget);

bool GroupRanges(const float* row, uint64_t cols, uint64_t group, float* least, float* greatest) {
  return HWY_DYNAMIC_DISPATCH(GroupRangesTarget)(row, cols, group, least, greatest);
}

uint64_t FirstNonFinite(const float* values, uint64_t count) {
  return HWY_DYNAMIC_DISPATCH(FirstNonFiniteTarget)(values, count);
}

uint64_t SelectMagnitudes(const float* values, uint64_t count, uint32_t bits, uint32_t* indices) {
  return HWY_DYNAMIC_DISPATCH(SelectMagnitudesTarget)(values, count, bits, indices);
}

void QuantizeLinear(const float* row, uint64_t cols, uint64_t group, const LinearGrid* grids, uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(QuantizeLinearTarget)(row, cols, group, grids, codes);
}

void QuantizeSign(const float* row, uint64_t cols, uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(QuantizeSignTarget)(row, cols, codes);
}

void QuantizeCodebook(const float* row, uint64_t cols, uint64_t group, const float* scales, const Codebook& book,
                      uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(QuantizeCodebookTarget)(row, cols, group, scales, book, codes);
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

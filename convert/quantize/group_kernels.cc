#include "convert/quantize/group_kernels.h"

#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "convert/quantize/group_kernels.cc"
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
  HWY_INLINE CodebookEncoder(float group_scale, const BookSearch& search)
      : scale(hn::Set(DF(), group_scale)), book(search) {}
  HWY_INLINE hn::Vec<DU8> operator()(VF w) const {
    return hn::TruncateTo(DU8(), hn::BitCast(DU(), book.Nearest(hn::Div(w, scale))));
  }
  VF scale;
  const BookSearch& book;
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
  // The codes ride through float registers, as the search's results.
  HWY_ALIGN float code_bits[16];
  for (size_t i = 0; i < 16; ++i) code_bits[i] = std::bit_cast<float>(uint32_t{book.sorted_codes[i]});
  const BookSearch search(book.thresholds.data(), code_bits);
  for (uint64_t begin = 0, g = 0; begin < cols; begin += HWY_MIN(group, cols - begin), ++g) {
    const uint64_t count = HWY_MIN(group, cols - begin);
    if (scales[g] == 0.0f) {
      std::memset(codes + begin, book.zero_code, count);
    } else {
      EncodeGroup(row + begin, count, CodebookEncoder(scales[g], search), codes + begin);
    }
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

}  // namespace ingot
#endif  // HWY_ONCE

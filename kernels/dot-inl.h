// Integer dot products of packed codes with activations in bytes, per SIMD target (AVX2, AVX-512, AVX-512 with VNNI):
// the codes of a few units at a time in registers, activations laid out in the same order. Include after hwy/highway.h,
// in each pass of foreach_target.h.
#if defined(INGOT_KERNELS_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_DOT_INL_H_
#undef INGOT_KERNELS_DOT_INL_H_
#else
#define INGOT_KERNELS_DOT_INL_H_
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "format/bytes.h"
#include "format/packing.h"
#include "hwy/highway.h"
#include "kernels/half-inl.h"
#include "kernels/matrix.h"

#undef INGOT_BEFORE_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL  // Highway 1.0.3 asks the processor for VNNI, but not the compiler
#define INGOT_BEFORE_NAMESPACE() HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni") static_assert(true)
#else
#define INGOT_BEFORE_NAMESPACE() HWY_BEFORE_NAMESPACE()
#endif

// Sums stay in registers only where the loops over them are unrolled.
#undef INGOT_UNROLL
#ifdef __clang__
#define INGOT_UNROLL _Pragma("unroll")
#else
#define INGOT_UNROLL _Pragma("GCC unroll 16")
#endif

#undef INGOT_INTEGER_DOTS
#if HWY_TARGET <= HWY_AVX2
#define INGOT_INTEGER_DOTS 1

INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DB = hn::ScalableTag<uint8_t>;
using DB64 = hn::Repartition<uint64_t, DB>;
using DB32 = hn::Repartition<uint32_t, DB>;
using DB16 = hn::Repartition<int16_t, DB>;
using DSum = hn::Repartition<int32_t, DB>;
using VB = hn::Vec<DB>;
using VSum = hn::Vec<DSum>;
inline constexpr size_t kVectorBytes = hn::MaxLanes(DB());

// ---- activations

// The bits of the largest magnitude; those of a NaN are above an infinity's.
HWY_INLINE uint32_t LargestMagnitude(const float* x, uint64_t count) {
  const DU32 d;
  const size_t lanes = hn::Lanes(d);
  const auto magnitude = [&](uint64_t i) HWY_ATTR {
    return hn::And(hn::BitCast(d, hn::LoadU(DF(), x + i)), hn::Set(d, 0x7FFFFFFFu));
  };
  VU32 m0 = hn::Zero(d), m1 = m0;
  uint64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) m0 = hn::Max(m0, magnitude(i)), m1 = hn::Max(m1, magnitude(i + lanes));
  uint32_t most = hn::GetLane(hn::MaxOfLanes(d, hn::Max(m0, m1)));
  for (; i < count; ++i) most = std::max(most, std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFu);
  return most;
}

// Integers of one row by its absolute maximum: 8 bits, or 15 as 128 hi + lo. Natural order. Returns the scale.
template <int kPlanes>
float QuantizeRow(const float* x, uint64_t count, int8_t* hi, int8_t* lo) {
  const auto most = std::bit_cast<float>(LargestMagnitude(x, count));
  constexpr float kMost = kPlanes == 1 ? 127.0f : 127.0f * 128.0f + 63.0f;
  const float inverse = most == 0.0f ? 0.0f : kMost / most;
  const DF df;
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<int8_t, DF> d8;
  const auto quantize = [&](VF values, int8_t* high, int8_t* low) HWY_ATTR {
    // An overflowing inverse of a tiny maximum is caught here.
    const VF scaled = hn::Min(hn::Max(hn::Mul(values, hn::Set(df, inverse)), hn::Set(df, -kMost)), hn::Set(df, kMost));
    const auto q = hn::ConvertTo(di, hn::Add(scaled, hn::CopySign(hn::Set(df, 0.5f), scaled)));  // half away from 0
    if constexpr (kPlanes == 1) {
      hn::StoreU(hn::DemoteTo(d8, q), d8, high);
    } else {
      const auto upper = hn::ShiftRight<7>(hn::Add(q, hn::Set(di, 64)));
      hn::StoreU(hn::DemoteTo(d8, upper), d8, high);
      hn::StoreU(hn::DemoteTo(d8, hn::Sub(q, hn::ShiftLeft<7>(upper))), d8, low);
    }
  };
  const size_t lanes = hn::Lanes(df);
  uint64_t i = 0;
  for (; i + lanes <= count; i += lanes) quantize(hn::LoadU(df, x + i), hi + i, kPlanes == 1 ? nullptr : lo + i);
  if (i < count) {
    HWY_ALIGN float rest[hn::MaxLanes(DF())] = {};
    HWY_ALIGN int8_t high[hn::MaxLanes(DF())], low[hn::MaxLanes(DF())];
    std::copy(x + i, x + count, rest);
    quantize(hn::Load(df, rest), high, low);
    std::copy(high, high + (count - i), hi + i);
    if constexpr (kPlanes == 2) std::copy(low, low + (count - i), lo + i);
  }
  return most / kMost;
}

// ---- codes of a block

// A block is as many units as make one vector of the widest field. Its codes are `kVectors` vectors: vector v has, in
// lane a * 8f + j, column 64 a + 8f v + j of the block (f the widest field); for 8 bits, whose unit may take several
// vectors, simply column kVectorBytes v + lane.
template <int kBits>
struct Block {
  static constexpr int kFirst = kBits >= 8 ? 8 : kBits >= 4 ? 4 : kBits >= 2 ? 2 : 1;
  static constexpr int kRest = kBits - kFirst;
  static constexpr int kSecond = kRest >= 2 ? 2 : kRest;
  static constexpr int kThird = kRest == 3 ? 1 : 0;
  static constexpr size_t kUnits = 8 * kFirst >= kVectorBytes ? 1 : kVectorBytes / (8 * kFirst);
  static constexpr size_t kCols = kPackUnit * kUnits;
  static constexpr size_t kVectors = kCols / kVectorBytes;

  // The column, from the start of the block, of a lane of a vector.
  static constexpr size_t Column(size_t vector, size_t lane) {
    if (kFirst == 8) return kVectorBytes * vector + lane;
    return kPackUnit * (lane / (8 * kFirst)) + 8 * kFirst * vector + lane % (8 * kFirst);
  }
};

HWY_INLINE const uint8_t* BytesAt(const std::byte* at) { return reinterpret_cast<const uint8_t*>(at); }

// A narrow field's bytes spread to the lanes of the widest one, each copy shifted so that vector v's bits come down by
// a further shift of kFirst * v (a unit of the widest field has kFirst lanes of 64 bits, of field f it has f).
template <int kFirst, int f>
HWY_INLINE hn::Vec<DB64> Spread(const uint8_t* at) {
  const DB64 d64;
  constexpr size_t kLanes = kVectorBytes / 8, kBytes = kVectorBytes * f / kFirst;
  struct Table {
    HWY_ALIGN uint64_t from[kLanes];
    HWY_ALIGN uint64_t shift[kLanes];
  };
  static constexpr Table kTable = [] {
    Table t{};
    for (size_t q = 0; q < kLanes; ++q) {
      t.from[q] = q / kFirst * f + q % kFirst % f;
      t.shift[q] = f * (q % kFirst / f);
    }
    return t;
  }();
  hn::Vec<DB64> bytes;
  if constexpr (kBytes == 8) {
    bytes = hn::Set(d64, Load<uint64_t>(reinterpret_cast<const std::byte*>(at)));
  } else if constexpr (kBytes == 16) {
    bytes = hn::BitCast(d64, hn::LoadDup128(DB(), at));
  } else {
    const hn::Half<DB> half;
    bytes = hn::BitCast(d64, hn::ZeroExtendVector(DB(), hn::LoadU(half, at)));
  }
  if constexpr (kBytes != 8) bytes = hn::TableLookupLanes(bytes, hn::SetTableIndices(d64, kTable.from));
  return hn::Shr(bytes, hn::Load(d64, kTable.shift));
}

template <int kBits>
class BlockCodes {
 public:
  using B = Block<kBits>;
  HWY_INLINE BlockCodes(const FieldRows& rows, size_t block)
      : at_(BytesAt(rows[0]) + 8 * B::kFirst * B::kUnits * block) {
    first_ = hn::LoadU(DB(), at_);
    if constexpr (B::kSecond != 0)
      second_ = Spread<B::kFirst, B::kSecond>(BytesAt(rows[1]) + 8 * B::kSecond * B::kUnits * block);
    if constexpr (B::kThird != 0)
      third_ = Spread<B::kFirst, B::kThird>(BytesAt(rows[2]) + 8 * B::kThird * B::kUnits * block);
  }

  template <int v>
  HWY_INLINE VB Get() const {
    const DB d;
    if constexpr (B::kFirst == 8) return v == 0 ? first_ : hn::LoadU(d, at_ + kVectorBytes * v);
    VB code = Bits<B::kFirst * v, B::kFirst, 0>(hn::BitCast(DB32(), first_));
    if constexpr (B::kSecond != 0)
      code = hn::Or(code, Bits<B::kFirst * v, B::kSecond, B::kFirst>(hn::BitCast(DB32(), second_)));
    if constexpr (B::kThird != 0)
      code = hn::Or(code, Bits<B::kFirst * v, B::kThird, B::kFirst + B::kSecond>(hn::BitCast(DB32(), third_)));
    return code;
  }
  // The same, with anything above the codes.
  template <int v>
  HWY_INLINE VB GetUnmasked() const {
    if constexpr (B::kFirst == 8 || B::kSecond != 0) return Get<v>();
    const auto bits = hn::BitCast(DB32(), first_);
    return hn::BitCast(DB(), v == 0 ? bits : hn::ShiftRight<B::kFirst * v>(bits));
  }

 private:
  // `width` bits of each byte from bit `from`, moved to bit `to`.
  template <int from, int width, int to>
  static HWY_INLINE VB Bits(hn::Vec<DB32> v) {
    if constexpr (from > to) v = hn::ShiftRight<from - to>(v);
    if constexpr (from < to) v = hn::ShiftLeft<to - from>(v);
    return hn::And(hn::BitCast(DB(), v), hn::Set(DB(), static_cast<uint8_t>(((1 << width) - 1) << to)));
  }

  const uint8_t* at_;
  VB first_;
  hn::Vec<DB64> second_, third_;
};

// ---- products of bytes

#undef INGOT_VNNI
#if HWY_TARGET <= HWY_AVX3_DL
#define INGOT_VNNI 1
#else
#define INGOT_VNNI 0
#endif

// Whether sums over the vectors of a block fit 16 bits, two products a lane: (2^bits - 1) * 127 * 2 * vectors < 2^15.
template <int kBits>
inline constexpr bool kSumsFit16 = ((1 << kBits) - 1) * 254 * static_cast<int>(Block<kBits>::kVectors) < 32768;

HWY_INLINE hn::Vec<DB16> PairProducts(VB u, VB s) {
#if HWY_TARGET <= HWY_AVX3
  return hn::Vec<DB16>{_mm512_maddubs_epi16(u.raw, s.raw)};
#else
  return hn::Vec<DB16>{_mm256_maddubs_epi16(u.raw, s.raw)};
#endif
}
HWY_INLINE VSum AddPairs(VSum sum, hn::Vec<DB16> pairs) {
#if HWY_TARGET <= HWY_AVX3
  return hn::Add(sum, VSum{_mm512_madd_epi16(pairs.raw, _mm512_set1_epi16(1))});
#else
  return hn::Add(sum, VSum{_mm256_madd_epi16(pairs.raw, _mm256_set1_epi16(1))});
#endif
}

// Without VNNI, unsigned bytes beyond 127 times signed ones overflow sums of two in 16 bits: such codes are taken less
// 128, as signed bytes, and what that leaves out is added with the zero-point.
template <int kMost>
inline constexpr bool kLess128 = !INGOT_VNNI && kMost * 254 >= 32768;

template <int kMost>
HWY_INLINE VB AsOperand(VB u) {
  return kLess128<kMost> ? hn::Xor(u, hn::Set(DB(), uint8_t{0x80})) : u;
}

// The absolute value of signed bytes, and x with their sign.
HWY_INLINE VB MagnitudeOf(VB w) {
#if HWY_TARGET <= HWY_AVX3
  return VB{_mm512_abs_epi8(w.raw)};
#else
  return VB{_mm256_abs_epi8(w.raw)};
#endif
}
HWY_INLINE VB WithSignOf(VB w, VB x) {
#if HWY_TARGET <= HWY_AVX3
  return VB{_mm512_mask_sub_epi8(x.raw, _mm512_movepi8_mask(w.raw), _mm512_setzero_si512(), x.raw)};
#else
  return VB{_mm256_sign_epi8(x.raw, w.raw)};
#endif
}

// sum + the products of four bytes a lane: u = AsOperand<kMost>(codes that are at most kMost); x signed, not -128.
template <int kMost>
HWY_INLINE VSum AddProducts(VSum sum, VB u, VB x) {
#if INGOT_VNNI
  // Not the intrinsic: g++ 12 copies its operand and stores each sum of a tile in every iteration.
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(u.raw), "v"(x.raw));
  return sum;
#else
  if constexpr (kLess128<kMost>) return AddPairs(sum, PairProducts(MagnitudeOf(u), WithSignOf(u, x)));
  return AddPairs(sum, PairProducts(u, x));
#endif
}

HWY_INLINE int SumOfBytes(const int8_t* x, uint64_t count) {
  VSum sums = hn::Zero(DSum());
  uint64_t i = 0;
  for (; i + kVectorBytes <= count; i += kVectorBytes) {
    const auto bytes = hn::BitCast(DB(), hn::LoadU(hn::RebindToSigned<DB>(), x + i));
    sums = AddProducts<1>(sums, hn::Set(DB(), uint8_t{1}), bytes);
  }
  int sum = hn::GetLane(hn::SumOfLanes(DSum(), sums));
  for (; i < count; ++i) sum += x[i];
  return sum;
}

// What a product's bytes are at most: a codebook's are of all values.
template <int kBits, bool kBook>
inline constexpr int kMostOf = kBook ? 255 : (1 << kBits) - 1;

// sum + the products of a block's codes with `x`, kCols bytes in the order of the block's lanes. kBook: of the bytes
// that `table` (of 16, in each block of 16 lanes, AsOperand) has for the codes.
template <int kBits, bool kBook, int v = 0>
HWY_INLINE VSum AddBlock(VSum sum, const BlockCodes<kBits>& codes, const int8_t* x, VB table) {
  using B = Block<kBits>;
  const auto x_at = [x](size_t vector) HWY_ATTR {
    return hn::BitCast(DB(), hn::Load(hn::RebindToSigned<DB>(), x + kVectorBytes * vector));
  };
  if constexpr (kBook) {
    sum = AddProducts<255>(sum, hn::TableLookupBytes(table, codes.template Get<v>()), x_at(v));
  } else if constexpr (INGOT_VNNI || !kSumsFit16<kBits>) {
    constexpr int kMost = kMostOf<kBits, false>;
    sum = AddProducts<kMost>(sum, AsOperand<kMost>(codes.template Get<v>()), x_at(v));
  } else {
    auto pairs = PairProducts(codes.template Get<0>(), x_at(0));
    if constexpr (B::kVectors > 1) pairs = hn::Add(pairs, PairProducts(codes.template Get<1>(), x_at(1)));
    if constexpr (B::kVectors > 2) pairs = hn::Add(pairs, PairProducts(codes.template Get<2>(), x_at(2)));
    if constexpr (B::kVectors > 2) pairs = hn::Add(pairs, PairProducts(codes.template Get<3>(), x_at(3)));
    if constexpr (B::kVectors > 4) {
      pairs = hn::Add(pairs, PairProducts(codes.template Get<4>(), x_at(4)));
      pairs = hn::Add(pairs, PairProducts(codes.template Get<5>(), x_at(5)));
      pairs = hn::Add(pairs, PairProducts(codes.template Get<6>(), x_at(6)));
      pairs = hn::Add(pairs, PairProducts(codes.template Get<7>(), x_at(7)));
    }
    return AddPairs(sum, pairs);
  }
  if constexpr (v + 1 < static_cast<int>(B::kVectors)) return AddBlock<kBits, kBook, v + 1>(sum, codes, x, table);
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();
#else
#define INGOT_INTEGER_DOTS 0
#endif

#endif

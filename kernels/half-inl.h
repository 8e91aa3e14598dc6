// f16 and bf16 in vectors of f32, per SIMD target: the bits of format/dtype.h. Include after hwy/highway.h, in each
// pass of foreach_target.h.
#if defined(INGOT_KERNELS_HALF_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_HALF_INL_H_
#undef INGOT_KERNELS_HALF_INL_H_
#else
#define INGOT_KERNELS_HALF_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "format/bytes.h"
#include "hwy/highway.h"

// The targets whose PromoteTo/DemoteTo of f16 are the CPU's own instructions; Highway's emulation elsewhere gets
// infinities wrong.
#undef INGOT_NATIVE_F16
#if HWY_TARGET <= HWY_AVX2
#define INGOT_NATIVE_F16 1
#else
#define INGOT_NATIVE_F16 0
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DU32 = hn::Rebind<uint32_t, DF>;
using DU16 = hn::Rebind<uint16_t, DF>;
using DF16 = hn::Rebind<hwy::float16_t, DF>;
using VF = hn::Vec<DF>;
using VU16 = hn::Vec<DU16>;
using VU32 = hn::Vec<DU32>;

// Two-byte loads and stores at any address; Highway's scalar target would dereference the pointer.
HWY_INLINE VU16 LoadAnywhere(const std::byte* at) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(DU16(), Load<uint16_t>(at));
#else
  return hn::LoadU(DU16(), reinterpret_cast<const uint16_t*>(at));
#endif
}

HWY_INLINE void StoreAnywhere(VU16 value, std::byte* at) {
#if HWY_TARGET == HWY_SCALAR
  Store(at, hn::GetLane(value));
#else
  hn::StoreU(value, DU16(), reinterpret_cast<uint16_t*>(at));
#endif
}

struct Half {
  using Single = Half;
  static HWY_INLINE VF Widen(VU16 half) {
#if INGOT_NATIVE_F16
    return hn::PromoteTo(DF(), hn::BitCast(DF16(), half));
#else
    const DF df;
    const DU32 du;
    const auto bits = hn::PromoteTo(du, half);
    const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFu));
    // The half's bits in f32's place have an exponent that is 112 too small; the product is exact, also for subnormals.
    const auto scaled = hn::Mul(hn::BitCast(df, hn::ShiftLeft<13>(magnitude)), hn::Set(df, 0x1p112f));
    const auto top = hn::VecFromMask(du, hn::Gt(magnitude, hn::Set(du, 0x7BFFu)));
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
    const auto rest = hn::Or(hn::BitCast(du, scaled), hn::And(top, hn::Set(du, 0x7F800000u)));
    return hn::BitCast(df, hn::Or(sign, rest));
#endif
  }

  static HWY_INLINE VU16 Narrow(VF value) {
#if INGOT_NATIVE_F16
    return hn::BitCast(DU16(), hn::DemoteTo(DF16(), value));
#else
    const DF df;
    const DU32 du;
    const auto bits = hn::BitCast(du, value);
    const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000u));
    // As F32ToF16 does it: the f32 adder rounds subnormals, an integer addition normal numbers.
    const auto sum = hn::Add(hn::BitCast(df, magnitude), hn::Set(df, 0.5f));
    const auto small = hn::Sub(hn::BitCast(du, sum), hn::Set(du, 0x3F000000u));
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1u));
    const auto rounded = hn::Add(hn::Sub(magnitude, hn::Set(du, 0x38000000u - 0xFFFu)), odd);
    auto half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x38800000u)), small, hn::ShiftRight<13>(rounded));
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x477FEFFFu)), hn::Set(du, 0x7C00u), half);
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7F800000u)), hn::Set(du, 0x7E00u), half);
    return hn::TruncateTo(DU16(), hn::Or(sign, half));
#endif
  }

#if HWY_TARGET <= HWY_AVX2
  // `low`, then `high`.
  static HWY_INLINE VU32 Pair(VF low, VF high) {
#if HWY_TARGET <= HWY_AVX3
    return VU32{_mm512_inserti64x4(_mm512_castsi256_si512(Narrow(low).raw), Narrow(high).raw, 1)};
#else
    return VU32{_mm256_inserti128_si256(_mm256_castsi128_si256(Narrow(low).raw), Narrow(high).raw, 1)};
#endif
  }
#endif
};

#if HWY_TARGET <= HWY_AVX2
// The upper halves of the lanes, those of `low` first.
HWY_INLINE VU32 UpperHalves(VU32 low, VU32 high) {
#if HWY_TARGET <= HWY_AVX3
  HWY_ALIGN static constexpr uint16_t kOdd[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                  33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  return VU32{_mm512_permutex2var_epi16(low.raw, _mm512_load_si512(kOdd), high.raw)};
#else
  const __m256i both = _mm256_packus_epi32(_mm256_srli_epi32(low.raw, 16), _mm256_srli_epi32(high.raw, 16));
  return VU32{_mm256_permute4x64_epi64(both, 0xD8)};
#endif
}
#endif

struct Brain {
  using Single = Brain;
  static HWY_INLINE VF Widen(VU16 brain) { return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(DU32(), brain))); }

  // Rounded, in the upper half.
  static HWY_INLINE VU32 Rounded(VF value) {
    const DU32 du;
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    return hn::Add(hn::Add(bits, hn::Set(du, 0x7FFFu)), odd);
  }
  static HWY_INLINE VU32 RoundedOrNan(VF value) {
    const DU32 du;
    const auto bits = hn::BitCast(du, value);
    const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFFu));
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000u));
    return hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7F800000u)), quiet, Rounded(value));
  }
  static HWY_INLINE VU16 Narrow(VF value) { return hn::TruncateTo(DU16(), hn::ShiftRight<16>(RoundedOrNan(value))); }

#if HWY_TARGET <= HWY_AVX2
  static HWY_INLINE VU32 Pair(VF low, VF high) { return UpperHalves(RoundedOrNan(low), RoundedOrNan(high)); }
#endif
};

#if HWY_TARGET <= HWY_AVX2
// bf16 of values of which none is a NaN.
struct OrdinaryBrain {
  using Single = Brain;
  static HWY_INLINE VU32 Pair(VF low, VF high) { return UpperHalves(Brain::Rounded(low), Brain::Rounded(high)); }
};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#endif

// Elements of raw matrices as f32, with the bits that the CPU gives them (kernels/widen.h).
#pragma once

#include "kernels/cuda/element.cuh"

namespace ingot::cuda {

// The f32 nearest to an f64. kToOdd: what is not exact gets an odd mantissa instead, so that a rounding to fewer bits
// that follows is the only one.
template <bool kToOdd>
INGOT_DEVICE float F64AsF32(uint64_t bits) {
  const double value = AsDouble(bits);
  const auto nearest = static_cast<float>(value);
  const auto back = static_cast<double>(nearest);
  if (!kToOdd || back == value || value != value) return nearest;
  const bool further = value < 0 ? back < value : back > value;  // from zero
  return AsFloat((AsBits(nearest) - (further ? 1 : 0)) | 1u);
}

template <Type kType>
struct Raw {
  static constexpr uint32_t kSize = kType == kF64 ? 8 : kType == kF32 ? 4 : kType == kF16 || kType == kBF16 ? 2 : 1;

  // Of the bits of an element, low and high word. kNarrowed: a rounding to f16 or bf16 follows.
  template <bool kNarrowed>
  static INGOT_DEVICE float Widen(uint32_t low, uint32_t high) {
    if constexpr (kType == kF64) return F64AsF32<kNarrowed>(static_cast<uint64_t>(high) << 32 | low);
    if constexpr (kType == kF32) return AsFloat(low);
    if constexpr (kType == kBF16) return AsFloat(low << 16);
    if constexpr (kType == kF16) return F16AsF32(static_cast<uint16_t>(low));
    if constexpr (kType == kF8E5M2) return F16AsF32(static_cast<uint16_t>(low << 8));  // an f16 cut short
    if constexpr (kType == kF8E4M3) {
      const uint32_t sign = low & 0x80u, magnitude = low & 0x7Fu;
      if (magnitude == 0x7Fu) return AsFloat(sign << 24 | 0x7FC00000u);
      // Moved to the places of an f16, the exponent is 8 too small.
      return Multiply(F16AsF32(static_cast<uint16_t>(sign << 8 | magnitude << 7)), 256.0f);
    }
  }
  template <bool kNarrowed>
  static INGOT_DEVICE float Load(const void* at) {
    if constexpr (kType == kF64) {
      const Words2 w = LoadGlobal<Words2>(at);
      return Widen<kNarrowed>(w.word[0], w.word[1]);
    } else if constexpr (kType == kF32) {
      return Widen<kNarrowed>(LoadGlobal<uint32_t>(at), 0);
    } else if constexpr (kSize == 2) {
      return Widen<kNarrowed>(LoadGlobal<uint16_t>(at), 0);
    } else {
      return Widen<kNarrowed>(LoadGlobal<uint8_t>(at), 0);
    }
  }
};

// Element i of them, as f32.
INGOT_DEVICE float LoadRaw(Type type, const void* elements, uint64_t i) {
  if (type == kF64) return Raw<kF64>::Load<false>(Bytes(elements, 8 * i));
  if (type == kF8E4M3) return Raw<kF8E4M3>::Load<false>(Bytes(elements, i));
  if (type == kF8E5M2) return Raw<kF8E5M2>::Load<false>(Bytes(elements, i));
  return LoadFloat(elements, type, i);
}

}  // namespace ingot::cuda

// The element types of tensors, by the names that safetensors gave them, and the exact conversions of their floats to
// f32.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ingot {

// The numbers are those of the file (spec/FORMAT.md, "Dtypes").
enum class DType : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kBF16 = 2,
  kF64 = 3,
  kF8E4M3 = 4,
  kF8E5M2 = 5,
  kI64 = 6,
  kI32 = 7,
  kI16 = 8,
  kI8 = 9,
  kU64 = 10,
  kU32 = 11,
  kU16 = 12,
  kU8 = 13,
  kBool = 14,
  kC64 = 15,
  kF8E8M0 = 16,
  kF8E4M3Fnuz = 17,
  kF8E5M2Fnuz = 18,
};

struct DTypeInfo {
  DType type;
  std::string_view name;  // as safetensors writes it, "F16"
  uint8_t size;           // bytes per element
  bool is_float;          // a real floating type, one that may be quantized
};

// All types, in the order of their numbers.
std::span<const DTypeInfo> AllDTypes();
// The entry of a number from a file, or nothing if no such type is defined.
const DTypeInfo* FindDType(uint8_t number);
// The entry of a safetensors name, or nothing.
const DTypeInfo* FindDType(std::string_view name);
inline const DTypeInfo& InfoOf(DType type) { return AllDTypes()[static_cast<size_t>(type)]; }

// IEEE binary16 to f32, exact; subnormals kept.
inline float F16ToF32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, rest = h & 0x7FFFu;
  if (rest >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | ((rest & 0x3FFu) << 13));
  if (rest >= 0x0400u) return std::bit_cast<float>(sign | ((rest << 13) + 0x38000000u));
  const float magnitude = static_cast<float>(rest) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

// f32 to IEEE binary16, to nearest even; overflow gives infinity, NaN a quiet NaN with the top payload bits.
inline uint16_t F32ToF16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f), abs = bits & 0x7FFFFFFFu;
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  if (abs > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u | ((abs >> 13) & 0x1FFu));
  if (abs >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and more round to infinity
  if (abs < 0x38800000u) {
    // Adding 0.5 makes the f32 adder round the value to a multiple of 2^-24 in the low bits of the sum.
    const float sum = std::bit_cast<float>(abs) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(sum) - 0x3F000000u));
  }
  const uint32_t odd = (abs >> 13) & 1u;
  return static_cast<uint16_t>(sign | ((abs - 0x38000000u + 0xFFFu + odd) >> 13));
}

inline float BF16ToF32(uint16_t b) { return std::bit_cast<float>(static_cast<uint32_t>(b) << 16); }

// f32 to bfloat16, to nearest even; NaN stays a NaN.
inline uint16_t F32ToBF16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// OCP FP8 to f32, exact.
float F8E4M3ToF32(uint8_t code);
float F8E5M2ToF32(uint8_t code);

// One rounding of an f32 value to `type` (kF32: none), returned as f32.
inline float RoundTo(DType type, float value) {
  if (type == DType::kF16) return F16ToF32(F32ToF16(value));
  if (type == DType::kBF16) return BF16ToF32(F32ToBF16(value));
  return value;
}

}  // namespace ingot

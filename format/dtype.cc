#include "format/dtype.h"

#include <array>

namespace ingot {
namespace {

constexpr std::array<DTypeInfo, 19> kTypes = {{
    {DType::kF32, "F32", 4, true},
    {DType::kF16, "F16", 2, true},
    {DType::kBF16, "BF16", 2, true},
    {DType::kF64, "F64", 8, true},
    {DType::kF8E4M3, "F8_E4M3", 1, true},
    {DType::kF8E5M2, "F8_E5M2", 1, true},
    {DType::kI64, "I64", 8, false},
    {DType::kI32, "I32", 4, false},
    {DType::kI16, "I16", 2, false},
    {DType::kI8, "I8", 1, false},
    {DType::kU64, "U64", 8, false},
    {DType::kU32, "U32", 4, false},
    {DType::kU16, "U16", 2, false},
    {DType::kU8, "U8", 1, false},
    {DType::kBool, "BOOL", 1, false},
    {DType::kC64, "C64", 8, false},
    {DType::kF8E8M0, "F8_E8M0", 1, false},
    {DType::kF8E4M3Fnuz, "F8_E4M3FNUZ", 1, false},
    {DType::kF8E5M2Fnuz, "F8_E5M2FNUZ", 1, false},
}};

constexpr bool NumbersAreIndices() {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (static_cast<size_t>(kTypes[i].type) != i) return false;
  }
  return true;
}
static_assert(NumbersAreIndices());

// An 8-bit float with `mantissa` fraction bits; its top exponent is handled by the callers.
float SmallFloat(uint8_t code, int mantissa, int bias) {
  const int exponent = (code & 0x7F) >> mantissa, fraction = code & ((1 << mantissa) - 1);
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(fraction), 1 - bias - mantissa)
                              : std::ldexp(static_cast<float>((1 << mantissa) + fraction), exponent - bias - mantissa);
  return (code & 0x80) ? -magnitude : magnitude;
}

}  // namespace

std::span<const DTypeInfo> AllDTypes() { return kTypes; }

const DTypeInfo* FindDType(uint8_t number) { return number < kTypes.size() ? &kTypes[number] : nullptr; }

const DTypeInfo* FindDType(std::string_view name) {
  for (const DTypeInfo& info : kTypes) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

float F8E4M3ToF32(uint8_t code) {
  if ((code & 0x7F) == 0x7F) return std::bit_cast<float>((static_cast<uint32_t>(code & 0x80) << 24) | 0x7FC00000u);
  return SmallFloat(code, 3, 7);
}

float F8E5M2ToF32(uint8_t code) { return F16ToF32(static_cast<uint16_t>(code << 8)); }

}  // namespace ingot

#include "format/dtype.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>

namespace ingot {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
uint32_t BitsOf(float f) { return std::bit_cast<uint32_t>(f); }

// A small float by its definition: `fraction` bits, exponents from `least` on (the exponent of the smallest normal
// number), and the largest finite magnitude. Doubles hold all of it exactly.
struct SmallFloat {
  int fraction, least;
  double largest;

  // To nearest even; what rounds beyond the largest is infinite.
  float Round(float x) const {
    if (std::isnan(x) || std::isinf(x) || x == 0) return x;
    const int exponent = std::max(std::ilogb(x), least);
    const double quantum = std::ldexp(1.0, exponent - fraction);
    const double rounded = std::nearbyint(static_cast<double>(x) / quantum) * quantum;
    if (std::fabs(rounded) > largest) return std::copysign(kInf, x);
    return std::copysign(static_cast<float>(rounded), x);
  }
};
const SmallFloat kHalf = {10, -14, 65504.0};
const SmallFloat kBrain = {7, -126, 0x1.FEp127};

float HalfByFormula(uint16_t h) {
  const int exponent = (h >> 10) & 31, fraction = h & 1023;
  const double sign = h & 0x8000 ? -1.0 : 1.0;
  if (exponent == 31) return static_cast<float>(fraction == 0 ? sign * kInf : std::nan(""));
  const double value = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>(sign * value);
}

TEST_CASE("all 65,536 halfs: the value by the formula, and back to the same bits") {
  size_t wrong = 0;
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto h = static_cast<uint16_t>(i);
    const float f = F16ToF32(h), expected = HalfByFormula(h);
    if (std::isnan(expected)) {
      wrong += !std::isnan(f) || !std::isnan(F16ToF32(F32ToF16(f)));
    } else {
      wrong += BitsOf(f) != BitsOf(expected) || F32ToF16(f) != h;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("all 65,536 bfloats: the upper half of an f32, and back to the same bits") {
  size_t wrong = 0;
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto b = static_cast<uint16_t>(i);
    const float f = BF16ToF32(b);
    wrong += BitsOf(f) != i << 16;
    wrong += std::isnan(f) ? !std::isnan(BF16ToF32(F32ToBF16(f))) : F32ToBF16(f) != b;
  }
  CHECK(wrong == 0);
}

// Between every two neighbours: the midpoint goes to the even one, the f32 beside it to the nearer one.
template <typename Widen, typename Narrow>
size_t WrongTies(uint16_t first_infinite, Widen widen, Narrow narrow) {
  size_t wrong = 0;
  for (uint32_t i = 0; i + 1 < first_infinite; ++i) {
    const auto low = static_cast<uint16_t>(i), high = static_cast<uint16_t>(i + 1);
    const double exact = (static_cast<double>(widen(low)) + static_cast<double>(widen(high))) / 2;
    const auto middle = static_cast<float>(exact);
    const uint16_t even = low % 2 == 0 ? low : high;
    for (uint16_t sign : {0, 0x8000}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      if (middle == exact) wrong += narrow(s * middle) != (even | sign);
      wrong += narrow(s * std::nextafter(middle, 0.0f)) != (low | sign);
      wrong += narrow(s * std::nextafter(middle, kInf)) != (high | sign);
    }
  }
  return wrong;
}

TEST_CASE("rounding between all neighbours: ties to even, everything else to the nearer one") {
  CHECK(WrongTies(0x7C00, F16ToF32, F32ToF16) == 0);
  CHECK(WrongTies(0x7F80, BF16ToF32, F32ToBF16) == 0);
}

TEST_CASE("overflow, underflow and what is not a number") {
  CHECK(F32ToF16(65504.0f) == 0x7BFF);
  CHECK(F32ToF16(std::nextafter(65520.0f, 0.0f)) == 0x7BFF);
  CHECK(F32ToF16(65520.0f) == 0x7C00);
  CHECK(F32ToF16(-65520.0f) == 0xFC00);
  CHECK(F32ToF16(kInf) == 0x7C00);
  CHECK(F32ToF16(0x1p-25f) == 0);
  CHECK(F32ToF16(std::nextafter(0x1p-25f, 1.0f)) == 1);
  CHECK(F32ToF16(-0x1p-25f) == 0x8000);
  CHECK(F32ToF16(-0.0f) == 0x8000);
  CHECK(F32ToBF16(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(F32ToBF16(-std::numeric_limits<float>::max()) == 0xFF80);
  CHECK(F32ToBF16(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(F32ToBF16(-0.0f) == 0x8000);
  for (uint32_t bits : {0x7F800001u, 0x7FFFFFFFu, 0xFF800001u, 0x7FC00000u, 0x7F80FFFFu, 0xFFFFFFFFu}) {
    const float nan = std::bit_cast<float>(bits);
    CHECK(std::isnan(F16ToF32(F32ToF16(nan))));
    CHECK(std::isnan(BF16ToF32(F32ToBF16(nan))));
  }
}

TEST_CASE("random f32 of all magnitudes round as the definition says") {
  std::mt19937 random(1);
  size_t wrong = 0;
  for (int i = 0; i < 2'000'000; ++i) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(x)) continue;
    const float in_range = std::bit_cast<float>((BitsOf(x) & 0x87FFFFFFu) | 0x38000000u);
    for (float f : {x, in_range}) {
      wrong += BitsOf(RoundTo(DType::kF16, f)) != BitsOf(kHalf.Round(f));
      wrong += BitsOf(RoundTo(DType::kBF16, f)) != BitsOf(kBrain.Round(f));
      wrong += BitsOf(RoundTo(DType::kF32, f)) != BitsOf(f);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("all 256 codes of both 8-bit floats, by the formula") {
  for (int code = 0; code < 256; ++code) {
    CAPTURE(code);
    const double sign = code & 0x80 ? -1.0 : 1.0;
    const auto value = [&](int fraction_bits, int bias) {
      const int exponent = (code & 0x7F) >> fraction_bits, scale = 1 << fraction_bits, fraction = code % scale;
      const double significand = exponent == 0 ? fraction : scale + fraction;
      return static_cast<float>(sign * significand * std::pow(2.0, std::max(exponent, 1) - bias - fraction_bits));
    };
    const float e4m3 = F8E4M3ToF32(static_cast<uint8_t>(code)), e5m2 = F8E5M2ToF32(static_cast<uint8_t>(code));
    if ((code & 0x7F) == 0x7F) {
      CHECK(std::isnan(e4m3));
    } else {
      CHECK(BitsOf(e4m3) == BitsOf(value(3, 7)));
    }
    if ((code & 0x7F) > 0x7C) {
      CHECK(std::isnan(e5m2));
    } else {
      CHECK(BitsOf(e5m2) == BitsOf((code & 0x7F) == 0x7C ? static_cast<float>(sign * kInf) : value(2, 15)));
    }
  }
  CHECK(F8E4M3ToF32(0x7E) == 448.0f);
  CHECK(F8E5M2ToF32(0x7B) == 57344.0f);
}

TEST_CASE("the table of dtypes: numbers and names lead to the same entry") {
  std::set<std::string_view> names;
  uint8_t number = 0;
  for (const DTypeInfo& info : AllDTypes()) {
    CHECK(static_cast<uint8_t>(info.type) == number);
    CHECK(FindDType(number) == &info);
    CHECK(FindDType(info.name) == &info);
    CHECK(&InfoOf(info.type) == &info);
    CHECK(info.is_float == (number <= 5));
    names.insert(info.name);
    ++number;
  }
  CHECK(number == 19);
  CHECK(names.size() == 19);
  for (int i = 19; i < 256; ++i) CHECK(FindDType(static_cast<uint8_t>(i)) == nullptr);
  CHECK(FindDType("f32") == nullptr);
  CHECK(FindDType("") == nullptr);
  const int sizes[] = {4, 2, 2, 8, 1, 1, 8, 4, 2, 1, 8, 4, 2, 1, 1, 8, 1, 1, 1};
  for (size_t i = 0; i < 19; ++i) CHECK(AllDTypes()[i].size == sizes[i]);
}

}  // namespace
}  // namespace ingot

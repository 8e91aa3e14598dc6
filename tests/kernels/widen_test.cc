#include "kernels/widen.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "format/bytes.h"
#include "kernels/targets.h"

namespace ingot {
namespace {

bool SameFloat(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

bool IsNan(DType type, uint16_t code) { return std::isnan(type == DType::kF16 ? F16ToF32(code) : BF16ToF32(code)); }

void CheckWidenAll(DType type) {
  std::vector<std::byte> codes(2 * 65536 + 1);
  for (uint32_t i = 0; i < 65536; ++i) Store(codes.data() + 1 + 2 * i, static_cast<uint16_t>(i));
  std::vector<float> wide(65536);
  REQUIRE(WidenToF32(type, codes.data() + 1, wide.size(), wide.data()));
  size_t wrong = 0;
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto code = static_cast<uint16_t>(i);
    wrong += !SameFloat(wide[i], type == DType::kF16 ? F16ToF32(code) : BF16ToF32(code));
  }
  CHECK(wrong == 0);
}

// f32 values on and around every rounding boundary of both types, and random bits.
std::vector<float> EdgeValues() {
  std::vector<float> values;
  for (uint32_t code = 0; code < 65536; ++code) {
    for (const uint32_t bits : {std::bit_cast<uint32_t>(F16ToF32(static_cast<uint16_t>(code))), code << 16}) {
      for (const uint32_t step : {0u, 1u, 0xFFFu, 0x1000u, 0x1001u, 0x7FFFu, 0x8000u, 0x8001u}) {
        values.push_back(std::bit_cast<float>(bits + step));
      }
    }
  }
  for (int e = -30; e < -12; ++e) {  // f16 subnormals and their midpoints
    for (int m = 0; m < 64; ++m) values.push_back(std::ldexp(static_cast<float>(64 + m), e - 6));
  }
  std::mt19937 random(3);
  for (int i = 0; i < 1 << 18; ++i) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  return values;
}

void CheckNarrow(DType type, const std::vector<float>& values) {
  std::vector<std::byte> out(2 * values.size() + 1);
  REQUIRE(NarrowFromF32(type, values.data(), values.size(), out.data() + 1));
  size_t wrong = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto code = Load<uint16_t>(out.data() + 1 + 2 * i);
    const uint16_t expected = type == DType::kF16 ? F32ToF16(values[i]) : F32ToBF16(values[i]);
    wrong += !(code == expected || (IsNan(type, code) && IsNan(type, expected)));
  }
  CHECK(wrong == 0);
}

TEST_CASE("all 65,536 halfs and bfloats widen exactly, and every edge narrows to nearest even, on every target") {
  const std::vector<float> edges = EdgeValues();
  for (const std::string& target : AvailableTargets()) {
    CAPTURE(target);
    REQUIRE(SetTarget(target));
    CHECK(ActiveTarget() == target);
    CheckWidenAll(DType::kF16);
    CheckWidenAll(DType::kBF16);
    CheckNarrow(DType::kF16, edges);
    CheckNarrow(DType::kBF16, edges);
  }
  REQUIRE(SetTarget(""));
}

TEST_CASE("every length is written in full and not beyond") {
  std::vector<std::byte> codes(2 * 80 + 1);
  for (uint32_t i = 0; i < 80; ++i) Store(codes.data() + 1 + 2 * i, static_cast<uint16_t>(0x3C00 + i));
  for (const std::string& target : AvailableTargets()) {
    REQUIRE(SetTarget(target));
    for (size_t count = 0; count <= 70; ++count) {
      std::vector<float> wide(count + 1, -7.0f);
      REQUIRE(WidenToF32(DType::kF16, codes.data() + 1, count, wide.data()));
      for (size_t i = 0; i < count; ++i) CHECK(wide[i] == F16ToF32(static_cast<uint16_t>(0x3C00 + i)));
      CHECK(wide[count] == -7.0f);
      std::vector<std::byte> back(2 * count + 3, std::byte{0xEE});
      REQUIRE(NarrowFromF32(DType::kF16, wide.data(), count, back.data() + 1));
      for (size_t i = 0; i < 2 * count; ++i) CHECK(back[1 + i] == codes[1 + i]);
      CHECK(back[0] == std::byte{0xEE});
      CHECK(back[2 * count + 1] == std::byte{0xEE});
    }
  }
  REQUIRE(SetTarget(""));
}

TEST_CASE("the other source types") {
  for (int code = 0; code < 256; ++code) {
    const auto byte = static_cast<std::byte>(code);
    float e4m3 = 0, e5m2 = 0;
    REQUIRE(WidenToF32(DType::kF8E4M3, &byte, 1, &e4m3));
    REQUIRE(WidenToF32(DType::kF8E5M2, &byte, 1, &e5m2));
    CHECK(SameFloat(e4m3, F8E4M3ToF32(static_cast<uint8_t>(code))));
    CHECK(SameFloat(e5m2, F8E5M2ToF32(static_cast<uint8_t>(code))));
  }
  const double doubles[] = {0.1, -0.0, 1e300, 1e-46, 1.0 + 0x1p-24, 1.0 + 0x1.8p-23};
  float wide[6];
  REQUIRE(WidenToF32(DType::kF64, std::as_bytes(std::span(doubles)).data(), 6, wide));
  CHECK(wide[0] == 0.1f);
  CHECK(std::signbit(wide[1]));
  CHECK(wide[2] == std::numeric_limits<float>::infinity());
  CHECK(wide[3] == 0.0f);
  CHECK(wide[4] == 1.0f);
  CHECK(wide[5] == 1.0f + 0x1p-22f);
  CHECK(!WidenToF32(DType::kI32, nullptr, 0, wide));
  CHECK(!NarrowFromF32(DType::kF64, wide, 0, nullptr));
}

// `value` by way of NarrowFromF64.
uint16_t Narrow(DType type, double value) {
  std::byte in[8], out[2];
  Store(in, value);
  REQUIRE(NarrowFromF64(type, in, 1, out));
  return Load<uint16_t>(out);
}

TEST_CASE("F64 is rounded once: around the middle of every two neighbours") {
  for (DType type : {DType::kF16, DType::kBF16}) {
    const uint16_t infinity = type == DType::kF16 ? 0x7C00 : 0x7F80;
    const auto value_of = [&](uint32_t code) -> double {
      if (code == infinity) return type == DType::kF16 ? 0x1p16 : 0x1p128;  // where the next value would be
      return type == DType::kF16 ? F16ToF32(static_cast<uint16_t>(code)) : BF16ToF32(static_cast<uint16_t>(code));
    };
    for (uint32_t code = 0; code < infinity; ++code) {
      const double middle = (value_of(code) + value_of(code + 1)) / 2;
      const uint32_t even = code + (code & 1);
      for (uint32_t sign : {0u, 0x8000u}) {
        const double signed_middle = sign != 0 ? -middle : middle;
        REQUIRE(Narrow(type, signed_middle) == (sign | even));
        REQUIRE(Narrow(type, signed_middle * (1 - 0x1p-50)) == (sign | code));
        REQUIRE(Narrow(type, signed_middle * (1 + 0x1p-50)) == (sign | (code + 1)));
      }
    }
  }
  CHECK(std::isnan(F16ToF32(Narrow(DType::kF16, std::numeric_limits<double>::quiet_NaN()))));
  CHECK(Narrow(DType::kF16, -std::numeric_limits<double>::infinity()) == 0xFC00);
}

}  // namespace
}  // namespace ingot

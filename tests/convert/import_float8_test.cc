// The 8-bit floating types as codebooks, against their definitions.
#include "convert/import/float8.h"

#include <doctest/doctest.h>

#include <cmath>

namespace ingot::test {
namespace {

// Sign, exponent and mantissa by a type's widths and bias; NaN and infinities are the caller's.
double Value(int code, int mantissa_bits, int bias) {
  const int exponent = (code & 0x7F) >> mantissa_bits, mantissa = code & ((1 << mantissa_bits) - 1);
  const double fraction = mantissa / std::exp2(mantissa_bits);
  const double value = exponent == 0 ? fraction * std::exp2(1 - bias) : (1 + fraction) * std::exp2(exponent - bias);
  return code & 0x80 ? -value : value;
}

TEST_CASE("every code of every type") {
  const auto e4m3 = Float8Codebook(DType::kF8E4M3), e5m2 = Float8Codebook(DType::kF8E5M2);
  const auto e4m3fnuz = Float8Codebook(DType::kF8E4M3Fnuz), e5m2fnuz = Float8Codebook(DType::kF8E5M2Fnuz);
  const auto e8m0 = Float8Codebook(DType::kF8E8M0);
  for (const auto* book : {&e4m3, &e5m2, &e4m3fnuz, &e5m2fnuz, &e8m0}) REQUIRE(book->size() == 256);
  for (int code = 0; code < 256; ++code) {
    const auto i = static_cast<size_t>(code);
    if ((code & 0x7F) == 0x7F) {
      CHECK(std::isnan(e4m3[i]));
    } else {
      CHECK(e4m3[i] == Value(code, 3, 7));
    }
    if ((code & 0x7F) > 0x7C) {
      CHECK(std::isnan(e5m2[i]));
    } else if ((code & 0x7F) == 0x7C) {
      CHECK(std::isinf(e5m2[i]));
    } else {
      CHECK(e5m2[i] == Value(code, 2, 15));
    }
    if (code == 0x80) {
      CHECK(std::isnan(e4m3fnuz[i]));
      CHECK(std::isnan(e5m2fnuz[i]));
    } else {
      CHECK(e4m3fnuz[i] == Value(code, 3, 8));
      CHECK(e5m2fnuz[i] == Value(code, 2, 16));
    }
    if (code == 255) {
      CHECK(std::isnan(e8m0[i]));
    } else {
      CHECK(static_cast<double>(e8m0[i]) == std::exp2(code - 127));
    }
  }
  CHECK(std::signbit(e4m3[0x80]));
  CHECK(Float8Codebook(DType::kF16).empty());
}

TEST_CASE("E2M1") {
  const auto book = E2M1Codebook();
  REQUIRE(book.size() == 16);
  const float positive[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (size_t i = 0; i < 8; ++i) {
    CHECK(book[i] == positive[i]);
    CHECK(book[i + 8] == -positive[i]);
    CHECK(std::signbit(book[i + 8]));
  }
}

}  // namespace
}  // namespace ingot::test

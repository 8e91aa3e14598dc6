#include "convert/import/float8.h"

#include <cmath>
#include <limits>

namespace ingot {
namespace {

// The FNUZ types have no -0, no infinities, and a bias that is one larger; 0x80 is NaN.
float Fnuz(int code, int mantissa_bits) {
  if (code == 0x80) return std::numeric_limits<float>::quiet_NaN();
  const int exponent_bits = 7 - mantissa_bits, bias = 1 << (exponent_bits - 1);
  const int exponent = (code & 0x7F) >> mantissa_bits, mantissa = code & ((1 << mantissa_bits) - 1);
  const int whole = exponent == 0 ? mantissa : mantissa + (1 << mantissa_bits);
  const float value = std::ldexp(static_cast<float>(whole), (exponent == 0 ? 1 : exponent) - bias - mantissa_bits);
  return code & 0x80 ? -value : value;
}

float ValueOf(DType type, int code) {
  switch (type) {
    case DType::kF8E4M3:
      return F8E4M3ToF32(static_cast<uint8_t>(code));
    case DType::kF8E5M2:
      return F8E5M2ToF32(static_cast<uint8_t>(code));
    case DType::kF8E4M3Fnuz:
      return Fnuz(code, 3);
    case DType::kF8E5M2Fnuz:
      return Fnuz(code, 2);
    default:
      return code == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, code - 127);
  }
}

}  // namespace

std::vector<float> Float8Codebook(DType type) {
  std::vector<float> book;
  if (type != DType::kF8E4M3 && type != DType::kF8E5M2 && type != DType::kF8E4M3Fnuz && type != DType::kF8E5M2Fnuz &&
      type != DType::kF8E8M0)
    return book;
  for (int code = 0; code < 256; ++code) book.push_back(ValueOf(type, code));
  return book;
}

std::vector<float> E2M1Codebook() {
  std::vector<float> book = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (size_t i = 0; i < 8; ++i) book.push_back(-book[i]);
  return book;
}

}  // namespace ingot

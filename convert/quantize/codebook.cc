#include "convert/quantize/codebook.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace ingot {
namespace {

// The quantiles of the normal distribution that bitsandbytes ships, as f32.
constexpr std::array<float, 16> kNf4Values = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// {0, 1/16, 8, 12, 4, 6, 2, 3} / 12 in f32; bit 3 is the sign.
constexpr std::array<uint32_t, 8> kFp4Bits = {0x00000000, 0x3BAAAAAB, 0x3F2AAAAB, 0x3F800000,
                                              0x3EAAAAAB, 0x3F000000, 0x3E2AAAAB, 0x3E800000};

std::array<float, 16> Fp4Values() {
  std::array<float, 16> values;
  for (size_t code = 0; code < 16; ++code) {
    values[code] = std::bit_cast<float>(kFp4Bits[code & 7] | (code & 8 ? 0x80000000u : 0u));
  }
  return values;
}

// The largest f32 that is not above the midpoint; the midpoint of two entries is exact in f64.
float MidpointBelow(float a, float b) {
  const double exact = (static_cast<double>(a) + static_cast<double>(b)) / 2;
  const float rounded = static_cast<float>(exact);
  return static_cast<double>(rounded) > exact ? std::nextafter(rounded, -std::numeric_limits<float>::infinity())
                                              : rounded;
}

Codebook Build(const std::array<float, 16>& values) {
  Codebook book{};
  book.values = values;
  std::array<uint8_t, 16> order;
  std::iota(order.begin(), order.end(), uint8_t{0});
  // Equal entries (the two zeros) in the order of their codes, so that the second one is the one to drop.
  std::stable_sort(order.begin(), order.end(), [&](uint8_t a, uint8_t b) { return values[a] < values[b]; });
  size_t count = 0;
  for (uint8_t code : order) {
    if (count > 0 && values[code] == book.sorted_values[count - 1]) continue;
    if (values[code] == 0.0f) book.zero_code = code;
    book.sorted_codes[count] = code;
    book.sorted_values[count++] = values[code];
  }
  for (size_t i = count; i < 16; ++i) {
    book.sorted_codes[i] = book.sorted_codes[count - 1];
    book.sorted_values[i] = book.sorted_values[count - 1];
  }
  for (size_t i = 0; i < 15; ++i) {
    book.thresholds[i] = i + 1 < count ? MidpointBelow(book.sorted_values[i], book.sorted_values[i + 1])
                                       : std::numeric_limits<float>::infinity();
  }
  return book;
}

}  // namespace

const Codebook& CodebookOf(MethodKind kind) {
  static const Codebook nf4 = Build(kNf4Values), fp4 = Build(Fp4Values());
  return kind == MethodKind::kFp4 ? fp4 : nf4;
}

}  // namespace ingot

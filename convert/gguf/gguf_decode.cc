// Element i of a block by the formulas of ggml (ggml-quants.c), one after the other: slow, plain and independent of the
// planes, so that an import can be verified against it.
#include <cmath>

#include "convert/gguf/gguf_blocks.h"
#include "format/bytes.h"

namespace ingot {
namespace {

using Block = const std::byte*;

constexpr float kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr float kFp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

int Byte(Block b, unsigned at) { return std::to_integer<int>(b[at]); }
int SignedByte(Block b, unsigned at) { return static_cast<int8_t>(Byte(b, at)); }
float Half(Block b, unsigned at) { return F16ToF32(Load<uint16_t>(b + at)); }
int Nibble(Block b, unsigned at, bool high) { return high ? Byte(b, at) >> 4 : Byte(b, at) & 15; }
int Bits(Block b, unsigned at, unsigned shift, int mask) { return (Byte(b, at) >> shift) & mask; }

float Q1_0(Block b, unsigned i) { return Bits(b, 2 + i / 8, i % 8, 1) != 0 ? Half(b, 0) : -Half(b, 0); }

float Q2_0(Block b, unsigned i) { return static_cast<float>(Bits(b, 2 + i / 4, 2 * (i % 4), 3) - 1) * Half(b, 0); }

float Q4_0(Block b, unsigned i) { return static_cast<float>(Nibble(b, 2 + i % 16, i >= 16) - 8) * Half(b, 0); }

float Q4_1(Block b, unsigned i) { return static_cast<float>(Nibble(b, 4 + i % 16, i >= 16)) * Half(b, 0) + Half(b, 2); }

int FiveBits(Block b, unsigned high_at, unsigned i) {
  return Nibble(b, high_at + 4 + i % 16, i >= 16) | (static_cast<int>(Load<uint32_t>(b + high_at) >> i) & 1) << 4;
}

float Q5_0(Block b, unsigned i) { return static_cast<float>(FiveBits(b, 2, i) - 16) * Half(b, 0); }

float Q5_1(Block b, unsigned i) { return static_cast<float>(FiveBits(b, 4, i)) * Half(b, 0) + Half(b, 2); }

float Q8_0(Block b, unsigned i) { return static_cast<float>(SignedByte(b, 2 + i)) * Half(b, 0); }

// The code of 2 bits of a block of 256 whose codes begin at byte `at`.
int TwoBits(Block b, unsigned at, unsigned i) { return Bits(b, at + 32 * (i / 128) + i % 32, 2 * (i % 128 / 32), 3); }

float Q2_K(Block b, unsigned i) {
  const int scale = Byte(b, i / 16), q = TwoBits(b, 16, i);
  return Half(b, 80) * static_cast<float>(scale & 15) * static_cast<float>(q) -
         Half(b, 82) * static_cast<float>(scale >> 4);
}

float Q3_K(Block b, unsigned i) {
  const unsigned t = i / 16;
  const int low = Nibble(b, 96 + t % 8, t >= 8), top = Bits(b, 104 + t % 4, 2 * (t / 4), 3);
  const int scale = (low | top << 4) - 32;
  const int q = TwoBits(b, 32, i) - (Bits(b, i % 32, i / 32, 1) != 0 ? 0 : 4);
  return Half(b, 108) * static_cast<float>(scale) * static_cast<float>(q);
}

// Q4_K and Q5_K: d * scale * q - dmin * minimum.
float WithMinimum(Block b, unsigned g, int q) {
  const int scale = g < 4 ? Byte(b, 4 + g) & 63 : (Byte(b, 8 + g) & 15) | (Byte(b, g) >> 6) << 4,
            minimum = g < 4 ? Byte(b, 8 + g) & 63 : Byte(b, 8 + g) >> 4 | (Byte(b, 4 + g) >> 6) << 4;
  return Half(b, 0) * static_cast<float>(scale) * static_cast<float>(q) - Half(b, 2) * static_cast<float>(minimum);
}

float Q4_K(Block b, unsigned i) {
  const unsigned g = i / 32;
  return WithMinimum(b, g, Nibble(b, 16 + 32 * (g / 2) + i % 32, g % 2 != 0));
}

float Q5_K(Block b, unsigned i) {
  const unsigned g = i / 32;
  return WithMinimum(b, g, Nibble(b, 48 + 32 * (g / 2) + i % 32, g % 2 != 0) + 16 * Bits(b, 16 + i % 32, g, 1));
}

float Q6_K(Block b, unsigned i) {
  const unsigned n = i / 128, r = i % 128 / 32, l = i % 32;
  const int q = (Nibble(b, 64 * n + 32 * (r % 2) + l, r >= 2) | Bits(b, 128 + 32 * n + l, 2 * r, 3) << 4) - 32;
  return Half(b, 208) * static_cast<float>(SignedByte(b, 192 + i / 16)) * static_cast<float>(q);
}

float Iq4Nl(Block b, unsigned i) { return Half(b, 0) * kIq4Values[Nibble(b, 2 + i % 16, i >= 16)]; }

float Iq4Xs(Block b, unsigned i) {
  const unsigned g = i / 32;
  const int low = Nibble(b, 4 + g / 2, g % 2 != 0), top = (Load<uint16_t>(b + 2) >> (2 * g)) & 3;
  const float scale = Half(b, 0) * static_cast<float>((low | top << 4) - 32);
  return scale * kIq4Values[Nibble(b, 8 + 16 * g + i % 16, i % 32 >= 16)];
}

// Base 3: digit n of a byte.
float Digit(Block b, unsigned at, int power) {
  const int rest = (Byte(b, at) * power) & 255;
  return static_cast<float>(((rest * 3) >> 8) - 1) * Half(b, 52);
}

float Tq1_0(Block b, unsigned i) {
  constexpr int kPowers[] = {1, 3, 9, 27, 81};
  if (i < 160) return Digit(b, i % 32, kPowers[i / 32]);
  if (i < 240) return Digit(b, 32 + i % 16, kPowers[(i - 160) / 16]);
  return Digit(b, 48 + i % 4, kPowers[(i - 240) / 4]);
}

float Tq2_0(Block b, unsigned i) { return static_cast<float>(TwoBits(b, 0, i) - 1) * Half(b, 64); }

float Mxfp4(Block b, unsigned i) {
  return kFp4Values[Nibble(b, 1 + i % 16, i >= 16)] * std::ldexp(1.0f, Byte(b, 0) - 128);
}

float Ue4M3(int code) {
  if (code == 0 || code == 0x7F) return 0;
  const int exponent = (code >> 3) & 15, mantissa = code & 7;
  if (exponent == 0) return std::ldexp(static_cast<float>(mantissa), -9);
  return std::ldexp(1 + static_cast<float>(mantissa) / 8, exponent - 7);
}

float Nvfp4(Block b, unsigned i) {
  const unsigned s = i / 16;
  return kFp4Values[Nibble(b, 4 + 8 * s + i % 8, i % 16 >= 8)] * (Ue4M3(Byte(b, s)) * 0.5f);
}

template <unsigned count, float (*element)(Block, unsigned)>
void All(Block block, float* out) {
  for (unsigned i = 0; i < count; ++i) out[i] = element(block, i);
}

}  // namespace

void DecodeQ1_0(Block block, float* out) { All<128, Q1_0>(block, out); }
void DecodeQ2_0(Block block, float* out) { All<64, Q2_0>(block, out); }
void DecodeQ4_0(Block block, float* out) { All<32, Q4_0>(block, out); }
void DecodeQ4_1(Block block, float* out) { All<32, Q4_1>(block, out); }
void DecodeQ5_0(Block block, float* out) { All<32, Q5_0>(block, out); }
void DecodeQ5_1(Block block, float* out) { All<32, Q5_1>(block, out); }
void DecodeQ8_0(Block block, float* out) { All<32, Q8_0>(block, out); }
void DecodeQ2_K(Block block, float* out) { All<256, Q2_K>(block, out); }
void DecodeQ3_K(Block block, float* out) { All<256, Q3_K>(block, out); }
void DecodeQ4_K(Block block, float* out) { All<256, Q4_K>(block, out); }
void DecodeQ5_K(Block block, float* out) { All<256, Q5_K>(block, out); }
void DecodeQ6_K(Block block, float* out) { All<256, Q6_K>(block, out); }
void DecodeIq4Nl(Block block, float* out) { All<32, Iq4Nl>(block, out); }
void DecodeIq4Xs(Block block, float* out) { All<256, Iq4Xs>(block, out); }
void DecodeTq1_0(Block block, float* out) { All<256, Tq1_0>(block, out); }
void DecodeTq2_0(Block block, float* out) { All<256, Tq2_0>(block, out); }
void DecodeMxfp4(Block block, float* out) { All<32, Mxfp4>(block, out); }
void DecodeNvfp4(Block block, float* out) { All<64, Nvfp4>(block, out); }

}  // namespace ingot

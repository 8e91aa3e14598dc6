// From blocks to one byte per code. Eight codes are moved at a time, as the bytes of a word; all loops have fixed
// lengths, so that compilers turn them into vector instructions.
#include "convert/gguf/gguf_blocks.h"

#include <array>
#include <cstring>

namespace ingot {
namespace {

// A word whose bytes are all `byte`.
constexpr uint64_t Each(unsigned byte) { return byte * 0x0101010101010101u; }

// `n` bytes as words.
template <size_t n>
std::array<uint64_t, n / 8> Words(const std::byte* at) {
  std::array<uint64_t, n / 8> words;
  std::memcpy(words.data(), at, n);
  return words;
}

template <size_t words>
void Put(const std::array<uint64_t, words>& from, uint8_t* to) {
  std::memcpy(to, from.data(), sizeof from);
}

// Bits [shift, shift + width) of each byte.
template <int width>
uint64_t Field(uint64_t bytes, int shift) {
  return (bytes >> shift) & Each((1u << width) - 1);
}

// Bit k of `bits` as the lowest bit of byte k.
uint64_t SpreadBits(uint8_t bits) { return (((Each(bits) & 0x8040201008040201u) + Each(0x7F)) >> 7) & Each(1); }

// Bits [2k, 2k + 2) of `bits` as the lowest bits of byte k.
uint64_t SpreadPairs(uint16_t bits) {
  uint64_t word = bits;
  word = (word | (word << 24)) & 0x000000FF000000FFu;
  word = (word | (word << 12)) & 0x000F000F000F000Fu;
  return (word | (word << 6)) & Each(3);
}

// The low halves of `n` bytes, then the high ones.
template <size_t n>
std::array<uint64_t, n / 4> Nibbles(const std::byte* at) {
  const auto in = Words<n>(at);
  std::array<uint64_t, n / 4> out;
  for (size_t i = 0; i < n / 8; ++i) {
    out[i] = Field<4>(in[i], 0);
    out[n / 8 + i] = Field<4>(in[i], 4);
  }
  return out;
}

// 64 bytes of codes of 2 bits, 32 bytes at a time: first the lowest bits of all, then the next.
std::array<uint64_t, 32> Pairs(const std::byte* at) {
  const auto in = Words<64>(at);
  std::array<uint64_t, 32> out;
  for (size_t half = 0; half < 2; ++half) {
    for (int j = 0; j < 4; ++j) {
      for (size_t i = 0; i < 4; ++i)
        out[16 * half + 4 * static_cast<size_t>(j) + i] = Field<2>(in[4 * half + i], 2 * j);
    }
  }
  return out;
}

// 32 codes of 5 bits: the fifth bits, and the others.
void Put5(const std::byte* high, const std::byte* low, uint8_t* codes) {
  auto out = Nibbles<16>(low);
  for (size_t i = 0; i < out.size(); ++i) out[i] |= SpreadBits(std::to_integer<uint8_t>(high[i])) << 4;
  Put(out, codes);
}

// The 6-bit scales and minima of Q4_K and Q5_K: 12 bytes.
void PutScales6(const std::byte* at, uint8_t* s, uint8_t* o) {
  std::array<uint32_t, 3> in;
  std::memcpy(in.data(), at, sizeof in);
  constexpr uint32_t k6 = 0x3F3F3F3F, k4 = 0x0F0F0F0F, k2 = 0x03030303;
  const std::array<uint32_t, 2> scales = {in[0] & k6, (in[2] & k4) | (((in[0] >> 6) & k2) << 4)},
                                minima = {in[1] & k6, ((in[2] >> 4) & k4) | (((in[1] >> 6) & k2) << 4)};
  std::memcpy(s, scales.data(), sizeof scales);
  std::memcpy(o, minima.data(), sizeof minima);
}

// Calls unpack(block, codes) for blocks of `bytes` bytes and `elements` elements.
template <size_t bytes, size_t elements, typename Unpack>
void ForBlocks(const std::byte* at, uint64_t count, uint8_t* codes, Unpack&& unpack) {
  for (; count > 0; --count, at += bytes, codes += elements) unpack(at, codes);
}

}  // namespace

void UnpackQ1_0(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  ForBlocks<18, 128>(blocks, count, codes, [](const std::byte* block, uint8_t* out) {
    std::array<uint64_t, 16> words;
    for (size_t i = 0; i < 16; ++i) words[i] = SpreadBits(std::to_integer<uint8_t>(block[2 + i]));
    Put(words, out);
  });
}

void UnpackQ2_0(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  ForBlocks<18, 64>(blocks, count, codes, [](const std::byte* block, uint8_t* out) {
    std::array<uint16_t, 8> in;
    std::memcpy(in.data(), block + 2, sizeof in);
    std::array<uint64_t, 8> words;
    for (size_t i = 0; i < 8; ++i) words[i] = SpreadPairs(in[i]);
    Put(words, out);
  });
}

void UnpackQ4_0(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  ForBlocks<18, 32>(blocks, count, codes,
                    [](const std::byte* block, uint8_t* out) { Put(Nibbles<16>(block + 2), out); });
}

void UnpackQ4_1(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  ForBlocks<20, 32>(blocks, count, codes,
                    [](const std::byte* block, uint8_t* out) { Put(Nibbles<16>(block + 4), out); });
}

void UnpackQ5_0(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  ForBlocks<22, 32>(blocks, count, codes,
                    [](const std::byte* block, uint8_t* out) { Put5(block + 2, block + 6, out); });
}

void UnpackQ5_1(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  ForBlocks<24, 32>(blocks, count, codes,
                    [](const std::byte* block, uint8_t* out) { Put5(block + 4, block + 8, out); });
}

void UnpackQ8_0(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  ForBlocks<34, 32>(blocks, count, codes, [](const std::byte* block, uint8_t* out) {
    auto words = Words<32>(block + 2);
    for (uint64_t& word : words) word ^= Each(0x80);
    Put(words, out);
  });
}

void UnpackQ2_K(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t* o) {
  ForBlocks<84, 256>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    Put(Pairs(block + 16), out);
    const auto scales = Words<16>(block);
    Put(std::array{Field<4>(scales[0], 0), Field<4>(scales[1], 0)}, s);
    Put(std::array{Field<4>(scales[0], 4), Field<4>(scales[1], 4)}, o);
    s += 16, o += 16;
  });
}

void UnpackQ3_K(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t*) {
  ForBlocks<110, 256>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    const auto high = Words<32>(block);
    auto words = Pairs(block + 32);
    for (size_t i = 0; i < words.size(); ++i) words[i] |= Field<1>(high[i % 4], static_cast<int>(i / 4)) << 2;
    Put(words, out);
    const uint64_t low = Words<8>(block + 96)[0];
    uint32_t top;
    std::memcpy(&top, block + 104, sizeof top);
    const uint64_t twice = top | uint64_t{top} << 32;
    // Scales 0 to 3 have the lowest bits of the four bytes, 4 to 7 the next, and so on.
    constexpr uint64_t kFirst = 0x0000000003030303u, kSecond = 0x0C0C0C0C00000000u;
    const auto upper = [&](int shift) {
      const uint64_t bits = twice >> shift;
      return ((bits & kFirst) | ((bits & kSecond) >> 2)) << 4;
    };
    Put(std::array{Field<4>(low, 0) | upper(0), Field<4>(low, 4) | upper(4)}, s);
    s += 16;
  });
}

void UnpackQ4_K(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t* o) {
  ForBlocks<144, 256>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    for (size_t i = 0; i < 4; ++i) Put(Nibbles<32>(block + 16 + 32 * i), out + 64 * i);
    PutScales6(block + 4, s, o);
    s += 8, o += 8;
  });
}

void UnpackQ5_K(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t* o) {
  ForBlocks<176, 256>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    const auto high = Words<32>(block + 16);
    for (size_t i = 0; i < 4; ++i) {
      auto words = Nibbles<32>(block + 48 + 32 * i);
      for (size_t k = 0; k < 8; ++k) words[k] |= Field<1>(high[k % 4], static_cast<int>(2 * i + k / 4)) << 4;
      Put(words, out + 64 * i);
    }
    PutScales6(block + 4, s, o);
    s += 8, o += 8;
  });
}

void UnpackQ6_K(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t*) {
  ForBlocks<210, 256>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    for (size_t half = 0; half < 2; ++half) {
      const auto high = Words<32>(block + 128 + 32 * half);
      auto words = Nibbles<64>(block + 64 * half);
      for (size_t k = 0; k < 16; ++k) words[k] |= Field<2>(high[k % 4], static_cast<int>(2 * (k / 4))) << 4;
      Put(words, out + 128 * half);
    }
    auto scales = Words<16>(block + 192);
    for (uint64_t& word : scales) word ^= Each(0x80);
    Put(scales, s);
    s += 16;
  });
}

void UnpackIq4Nl(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t* o) {
  UnpackQ4_0(blocks, count, codes, s, o);  // the same codes, of another meaning
}

void UnpackIq4Xs(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t*) {
  ForBlocks<136, 256>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    for (size_t i = 0; i < 8; ++i) Put(Nibbles<16>(block + 8 + 16 * i), out + 32 * i);
    uint16_t high;
    std::memcpy(&high, block + 2, sizeof high);
    for (size_t i = 0; i < 8; ++i) {
      const unsigned low = std::to_integer<unsigned>(block[4 + i / 2]) >> (4 * (i % 2));
      s[i] = static_cast<uint8_t>((low & 15) | ((high >> (2 * i)) & 3) << 4);
    }
    s += 8;
  });
}

void UnpackTq1_0(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  constexpr std::array<uint8_t, 5> kPowers = {1, 3, 9, 27, 81};
  // Digit n of each of `bytes` bytes, the digits being base 3 with the highest one first.
  const auto digits = [&]<size_t bytes>(const std::byte* from, size_t n, uint8_t* to) {
    std::array<uint8_t, bytes> in;
    std::memcpy(in.data(), from, bytes);
    for (size_t i = 0; i < bytes; ++i) to[i] = static_cast<uint8_t>(static_cast<uint8_t>(in[i] * kPowers[n]) * 3 >> 8);
  };
  ForBlocks<54, 256>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    for (size_t n = 0; n < 5; ++n) digits.template operator()<32>(block, n, out + 32 * n);
    for (size_t n = 0; n < 5; ++n) digits.template operator()<16>(block + 32, n, out + 160 + 16 * n);
    for (size_t n = 0; n < 4; ++n) digits.template operator()<4>(block + 48, n, out + 240 + 4 * n);
  });
}

void UnpackTq2_0(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t*, uint8_t*) {
  ForBlocks<66, 256>(blocks, count, codes, [](const std::byte* block, uint8_t* out) { Put(Pairs(block), out); });
}

void UnpackMxfp4(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t*) {
  ForBlocks<17, 32>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    Put(Nibbles<16>(block + 1), out);
    *s++ = std::to_integer<uint8_t>(block[0]);
  });
}

void UnpackNvfp4(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t*) {
  ForBlocks<36, 64>(blocks, count, codes, [&](const std::byte* block, uint8_t* out) {
    for (size_t i = 0; i < 4; ++i) Put(Nibbles<8>(block + 4 + 8 * i), out + 16 * i);
    std::memcpy(s, block, 4);
    s += 4;
  });
}

}  // namespace ingot

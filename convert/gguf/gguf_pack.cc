// From one byte per code to blocks: the reverse of gguf_blocks.cc. The loops have fixed lengths and simple bodies, so
// that compilers turn them into vector instructions.
#include <array>
#include <cstring>

#include "convert/gguf/gguf_blocks.h"

namespace ingot {
namespace {

std::byte Byte(unsigned value) { return static_cast<std::byte>(value); }

// `n` bytes: codes of 4 bits in the low halves, those after them in the high ones.
template <size_t n>
void JoinNibbles(const uint8_t* codes, std::byte* to) {
  for (size_t i = 0; i < n; ++i) to[i] = Byte((codes[i] & 15u) | (codes[n + i] & 15u) << 4);
}

// 32 bytes, each with 8 / width fields: bits [shift, shift + width) of codes that lie 32 apart.
template <unsigned width>
void JoinFields(const uint8_t* codes, unsigned shift, std::byte* to) {
  constexpr unsigned kMask = (1u << width) - 1;
  for (size_t i = 0; i < 32; ++i) {
    unsigned byte = 0;
    for (unsigned j = 0; j < 8 / width; ++j) byte |= ((codes[32 * j + i] >> shift) & kMask) << (width * j);
    to[i] = Byte(byte);
  }
}

// 256 codes of 2 bits.
void JoinPairs(const uint8_t* codes, std::byte* to) {
  JoinFields<2>(codes, 0, to);
  JoinFields<2>(codes + 128, 0, to + 32);
}

// 32 codes of 5 bits: the fifth bits, and the others.
void Join5(const uint8_t* codes, std::byte* high, std::byte* low) {
  JoinNibbles<16>(codes, low);
  for (size_t i = 0; i < 4; ++i) {
    unsigned byte = 0;
    for (size_t k = 0; k < 8; ++k) byte |= ((codes[8 * i + k] >> 4) & 1u) << k;
    high[i] = Byte(byte);
  }
}

// The 6-bit scales and minima of Q4_K and Q5_K: 12 bytes.
void JoinScales6(const uint8_t* s, const uint8_t* o, std::byte* to) {
  for (size_t i = 0; i < 4; ++i) {
    to[i] = Byte((s[i] & 63u) | (s[i + 4] >> 4 & 3u) << 6);
    to[4 + i] = Byte((o[i] & 63u) | (o[i + 4] >> 4 & 3u) << 6);
    to[8 + i] = Byte((s[i + 4] & 15u) | (o[i + 4] & 15u) << 4);
  }
}

// Calls pack(codes, block) for blocks of `bytes` bytes and `elements` elements.
template <size_t bytes, size_t elements, typename Pack>
void ForBlocks(const uint8_t* codes, uint64_t count, std::byte* to, Pack&& pack) {
  for (; count > 0; --count, to += bytes, codes += elements) pack(codes, to);
}

}  // namespace

void PackQ1_0(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<18, 128>(codes, count, blocks, [](const uint8_t* in, std::byte* block) {
    for (size_t i = 0; i < 128; ++i) block[2 + i / 8] |= Byte((in[i] & 1u) << (i % 8));
  });
}

void PackQ2_0(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<18, 64>(codes, count, blocks, [](const uint8_t* in, std::byte* block) {
    for (size_t i = 0; i < 64; ++i) block[2 + i / 4] |= Byte((in[i] & 3u) << (2 * (i % 4)));
  });
}

void PackQ4_0(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<18, 32>(codes, count, blocks, [](const uint8_t* in, std::byte* block) { JoinNibbles<16>(in, block + 2); });
}

void PackQ4_1(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<20, 32>(codes, count, blocks, [](const uint8_t* in, std::byte* block) { JoinNibbles<16>(in, block + 4); });
}

void PackQ5_0(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<22, 32>(codes, count, blocks, [](const uint8_t* in, std::byte* block) { Join5(in, block + 2, block + 6); });
}

void PackQ5_1(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<24, 32>(codes, count, blocks, [](const uint8_t* in, std::byte* block) { Join5(in, block + 4, block + 8); });
}

void PackQ8_0(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<34, 32>(codes, count, blocks, [](const uint8_t* in, std::byte* block) {
    for (size_t i = 0; i < 32; ++i) block[2 + i] = Byte(in[i] ^ 0x80u);
  });
}

void PackQ2_K(const uint8_t* codes, const uint8_t* s, const uint8_t* o, uint64_t count, std::byte* blocks) {
  ForBlocks<84, 256>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    for (size_t i = 0; i < 16; ++i) block[i] = Byte((s[i] & 15u) | (o[i] & 15u) << 4);
    JoinPairs(in, block + 16);
    s += 16, o += 16;
  });
}

void PackQ3_K(const uint8_t* codes, const uint8_t* s, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<110, 256>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    JoinFields<1>(in, 2, block);
    JoinPairs(in, block + 32);
    JoinNibbles<8>(s, block + 96);
    for (size_t t = 0; t < 16; ++t) block[104 + t % 4] |= Byte((s[t] >> 4 & 3u) << (2 * (t / 4)));
    s += 16;
  });
}

void PackQ4_K(const uint8_t* codes, const uint8_t* s, const uint8_t* o, uint64_t count, std::byte* blocks) {
  ForBlocks<144, 256>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    JoinScales6(s, o, block + 4);
    for (size_t i = 0; i < 4; ++i) JoinNibbles<32>(in + 64 * i, block + 16 + 32 * i);
    s += 8, o += 8;
  });
}

void PackQ5_K(const uint8_t* codes, const uint8_t* s, const uint8_t* o, uint64_t count, std::byte* blocks) {
  ForBlocks<176, 256>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    JoinScales6(s, o, block + 4);
    JoinFields<1>(in, 4, block + 16);
    for (size_t i = 0; i < 4; ++i) JoinNibbles<32>(in + 64 * i, block + 48 + 32 * i);
    s += 8, o += 8;
  });
}

void PackQ6_K(const uint8_t* codes, const uint8_t* s, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<210, 256>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    for (size_t half = 0; half < 2; ++half) {
      JoinNibbles<64>(in + 128 * half, block + 64 * half);
      JoinFields<2>(in + 128 * half, 4, block + 128 + 32 * half);
    }
    for (size_t i = 0; i < 16; ++i) block[192 + i] = Byte(s[i] ^ 0x80u);
    s += 16;
  });
}

void PackIq4Nl(const uint8_t* codes, const uint8_t* s, const uint8_t* o, uint64_t count, std::byte* blocks) {
  PackQ4_0(codes, s, o, count, blocks);  // the same codes, of another meaning
}

void PackIq4Xs(const uint8_t* codes, const uint8_t* s, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<136, 256>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    for (size_t i = 0; i < 8; ++i) {
      block[2 + i / 4] |= Byte((s[i] >> 4 & 3u) << (2 * (i % 4)));
      block[4 + i / 2] |= Byte((s[i] & 15u) << (4 * (i % 2)));
      JoinNibbles<16>(in + 32 * i, block + 8 + 16 * i);
    }
    s += 8;
  });
}

// Codes are 0 to 2: three to the power of five is 243, and the writer of the format spreads the sums over 256.
void PackTq1_0(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  // `bytes` bytes of `digits` digits each, the highest first; digit n of byte i is the code number bytes * n + i.
  const auto join = []<size_t bytes, size_t digits>(const uint8_t* in, std::byte* to) {
    for (size_t i = 0; i < bytes; ++i) {
      unsigned sum = 0;
      for (size_t n = 0; n < 5; ++n) sum = 3 * sum + (n < digits ? in[bytes * n + i] : 0u);
      to[i] = Byte((sum * 256 + 242) / 243);
    }
  };
  ForBlocks<54, 256>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    join.template operator()<32, 5>(in, block);
    join.template operator()<16, 5>(in + 160, block + 32);
    join.template operator()<4, 4>(in + 240, block + 48);
  });
}

void PackTq2_0(const uint8_t* codes, const uint8_t*, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<66, 256>(codes, count, blocks, [](const uint8_t* in, std::byte* block) { JoinPairs(in, block); });
}

void PackMxfp4(const uint8_t* codes, const uint8_t* s, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<17, 32>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    block[0] = Byte(*s++);
    JoinNibbles<16>(in, block + 1);
  });
}

void PackNvfp4(const uint8_t* codes, const uint8_t* s, const uint8_t*, uint64_t count, std::byte* blocks) {
  ForBlocks<36, 64>(codes, count, blocks, [&](const uint8_t* in, std::byte* block) {
    std::memcpy(block, s, 4);
    for (size_t i = 0; i < 4; ++i) JoinNibbles<8>(in + 16 * i, block + 4 + 8 * i);
    s += 4;
  });
}

}  // namespace ingot

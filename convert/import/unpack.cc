#include "convert/import/unpack.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "format/checked.h"
#include "format/packing.h"

namespace ingot {
namespace {

constexpr uint64_t kWordBits = 32;

uint32_t Word(const std::byte* line, uint64_t i) { return Load<uint32_t>(line + 4 * i); }

uint8_t ByteAt(const std::byte* line, uint64_t i) { return std::to_integer<uint8_t>(line[i]); }

uint8_t StreamCode(int bits, const std::byte* line, uint64_t i) {
  const uint64_t at = i * static_cast<uint64_t>(bits), shift = at % 8;
  uint32_t wide = ByteAt(line, at / 8);
  if (shift + static_cast<uint64_t>(bits) > 8) wide |= static_cast<uint32_t>(ByteAt(line, at / 8 + 1)) << 8;
  return static_cast<uint8_t>(wide >> shift & ((1u << bits) - 1));
}

uint8_t PlanarCode(int bits, const std::byte* line, uint64_t i) {
  const std::byte* group = line + i / kWordBits * 4 * static_cast<uint64_t>(bits);
  const auto r = static_cast<uint32_t>(i % kWordBits);
  uint32_t code = 0, first_word = 0, offset = 0;
  for (uint32_t width : FieldWidths(bits)) {
    const uint32_t per_word = 32 / width;
    const uint32_t word = Word(group, first_word + r / per_word);
    code |= (word >> (width * (r % per_word)) & ((1u << width) - 1)) << offset;
    first_word += width;
    offset += width;
  }
  return static_cast<uint8_t>(code);
}

// Spreads 8 codes of 1, 2 or 4 bits, which lie one after the other in the low bits of `x`, over the bytes of a word:
// the upper half moves up until each code is alone in its byte.
template <int kBits>
uint64_t Spread(uint64_t x) {
  if constexpr (kBits == 4) {
    x = (x | x << 16) & 0x0000FFFF0000FFFF;
    x = (x | x << 8) & 0x00FF00FF00FF00FF;
    return (x | x << 4) & 0x0F0F0F0F0F0F0F0F;
  } else if constexpr (kBits == 2) {
    x = (x | x << 24) & 0x000000FF000000FF;
    x = (x | x << 12) & 0x000F000F000F000F;
    return (x | x << 6) & 0x0303030303030303;
  } else {
    x = (x | x << 28) & 0x0000000F0000000F;
    x = (x | x << 14) & 0x0003000300030003;
    return (x | x << 7) & 0x0101010101010101;
  }
}

template <int kBits>
void UnpackBytes(const std::byte* line, uint64_t count, uint8_t* codes) {
  using Packed = std::conditional_t<kBits == 4, uint32_t, std::conditional_t<kBits == 2, uint16_t, uint8_t>>;
  uint64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const uint64_t spread = Spread<kBits>(Load<Packed>(line + i * kBits / 8));
    Store(reinterpret_cast<std::byte*>(codes + i), spread);
  }
  for (; i < count; ++i) codes[i] = StreamCode(kBits, line, i);
}

// 8 codes are `bits` bytes: one load, 8 shifts.
void UnpackOdd(int bits, const std::byte* line, uint64_t count, uint8_t* codes) {
  const auto width = static_cast<uint64_t>(bits);
  const uint64_t mask = (1u << bits) - 1, bytes = LineBytes(CodeOrder::kStream, bits, count);
  uint64_t i = 0;
  for (; i + 8 <= count && i / 8 * width + 8 <= bytes; i += 8) {
    const auto wide = Load<uint64_t>(line + i / 8 * width);
    for (uint64_t j = 0; j < 8; ++j) codes[i + j] = static_cast<uint8_t>(wide >> (width * j) & mask);
  }
  for (; i < count; ++i) codes[i] = StreamCode(bits, line, i);
}

void UnpackHighFirst(const std::byte* line, uint64_t count, uint8_t* codes) {
  for (uint64_t i = 0; i < count / 2; ++i) {
    const uint32_t byte = ByteAt(line, i);
    codes[2 * i] = static_cast<uint8_t>(byte >> 4);
    codes[2 * i + 1] = static_cast<uint8_t>(byte & 15);
  }
  if (count % 2 != 0) codes[count - 1] = static_cast<uint8_t>(ByteAt(line, count / 2) >> 4);
}

// Where code j of a word lies: the inverse of the order that AutoAWQ packs in.
constexpr std::array<uint32_t, 8> kAwqPlace = {0, 4, 1, 5, 2, 6, 3, 7};

void UnpackAwq(const std::byte* line, uint64_t count, uint8_t* codes) {
  uint64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    // Nibbles 0 to 3 are the even codes, 4 to 7 the odd ones.
    const uint64_t word = Word(line, i / 8);
    const auto every_other = [](uint64_t x) {
      x = (x | x << 24) & 0x000000FF000000FF;
      return (x | x << 12) & 0x000F000F000F000F;
    };
    const uint64_t spread = every_other(word & 0xFFFF) | every_other(word >> 16) << 8;
    Store(reinterpret_cast<std::byte*>(codes + i), spread);
  }
  for (; i < count; ++i) codes[i] = CodeAt(CodeOrder::kAwq, 4, line, i);
}

// 8 by 8 bytes: row r is the word rows[r]. Halves change places at three scales (Hacker's Delight, 7-3).
void Transpose8x8(std::array<uint64_t, 8>& rows) {
  const auto exchange = [&](size_t distance, int shift, uint64_t mask) {
    for (size_t r = 0; r < 8; ++r) {
      if (r & distance) continue;
      const uint64_t moved = (rows[r] >> shift ^ rows[r + distance]) & mask;
      rows[r + distance] ^= moved;
      rows[r] ^= moved << shift;
    }
  };
  exchange(4, 32, 0x00000000FFFFFFFF);
  exchange(2, 16, 0x0000FFFF0000FFFF);
  exchange(1, 8, 0x00FF00FF00FF00FF);
}

void TransposeBytes(const std::byte* in, uint64_t rows, uint64_t cols, std::byte* out, uint64_t stride) {
  const uint64_t whole_rows = rows / 8 * 8, whole_cols = cols / 8 * 8;
  constexpr uint64_t kTile = 64;  // columns of which 8 rows are read, so that what is written stays in the cache
  for (uint64_t c0 = 0; c0 < whole_cols; c0 += kTile) {
    const uint64_t c1 = std::min(whole_cols, c0 + kTile);
    for (uint64_t r = 0; r < whole_rows; r += 8) {
      for (uint64_t c = c0; c < c1; c += 8) {
        std::array<uint64_t, 8> tile;
        for (size_t i = 0; i < 8; ++i) tile[i] = Load<uint64_t>(in + (r + i) * stride + c);
        Transpose8x8(tile);
        for (size_t i = 0; i < 8; ++i) Store(out + (c + i) * rows + r, tile[i]);
      }
    }
  }
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = r < whole_rows ? whole_cols : 0; c < cols; ++c) out[c * rows + r] = in[r * stride + c];
  }
}

template <typename T>
void TransposeTiles(const std::byte* in, uint64_t rows, uint64_t cols, std::byte* out, uint64_t stride) {
  constexpr uint64_t kTile = 16;  // rows whose cache lines are open at a time
  for (uint64_t r0 = 0; r0 < rows; r0 += kTile) {
    const uint64_t r1 = std::min(rows, r0 + kTile);
    for (uint64_t c = 0; c < cols; ++c) {
      for (uint64_t r = r0; r < r1; ++r)
        std::memcpy(out + (c * rows + r) * sizeof(T), in + (r * stride + c) * sizeof(T), sizeof(T));
    }
  }
}

}  // namespace

uint64_t LineWords(CodeOrder order, int bits, uint64_t count) {
  const auto width = static_cast<uint64_t>(bits);
  if (order == CodeOrder::kWordAligned) return CeilDiv(count, kWordBits / width);
  if (order == CodeOrder::kPlanar) return width * CeilDiv(count, kWordBits);
  return CeilDiv(count * width, kWordBits);
}

uint64_t LineBytes(CodeOrder order, int bits, uint64_t count) {
  if (order == CodeOrder::kStream || order == CodeOrder::kHighFirst)
    return CeilDiv(count * static_cast<uint64_t>(bits), 8);
  return 4 * LineWords(order, bits, count);
}

uint8_t CodeAt(CodeOrder order, int bits, const std::byte* line, uint64_t i) {
  switch (order) {
    case CodeOrder::kPlanar:
      return PlanarCode(bits, line, i);
    case CodeOrder::kWordAligned: {
      const uint64_t per_word = kWordBits / static_cast<uint64_t>(bits);
      const uint64_t shift = static_cast<uint64_t>(bits) * (i % per_word);
      return static_cast<uint8_t>(Word(line, i / per_word) >> shift & ((1u << bits) - 1));
    }
    case CodeOrder::kHighFirst:
      return static_cast<uint8_t>(i % 2 == 0 ? ByteAt(line, i / 2) >> 4 : ByteAt(line, i / 2) & 15);
    case CodeOrder::kAwq:
      return static_cast<uint8_t>(Word(line, i / 8) >> (4 * kAwqPlace[i % 8]) & 15);
    case CodeOrder::kStream:
      break;
  }
  return StreamCode(bits, line, i);
}

void UnpackLine(CodeOrder order, int bits, const std::byte* line, uint64_t count, uint8_t* codes) {
  if (order == CodeOrder::kHighFirst) return UnpackHighFirst(line, count, codes);
  if (order == CodeOrder::kAwq) return UnpackAwq(line, count, codes);
  // These have no gaps, whatever they are called.
  const bool stream = order == CodeOrder::kStream || bits == 1 || bits == 2 || bits == 4 || bits == 8;
  if (!stream) {
    for (uint64_t i = 0; i < count; ++i) codes[i] = CodeAt(order, bits, line, i);
    return;
  }
  switch (bits) {
    case 1:
      return UnpackBytes<1>(line, count, codes);
    case 2:
      return UnpackBytes<2>(line, count, codes);
    case 4:
      return UnpackBytes<4>(line, count, codes);
    case 8:
      if (count != 0) std::memcpy(codes, line, count);
      return;
    default:
      return UnpackOdd(bits, line, count, codes);
  }
}

void Transpose(int element_size, const std::byte* in, uint64_t rows, uint64_t cols, std::byte* out, uint64_t stride) {
  if (stride == 0) stride = cols;
  switch (element_size) {
    case 1:
      return TransposeBytes(in, rows, cols, out, stride);
    case 2:
      return TransposeTiles<uint16_t>(in, rows, cols, out, stride);
    default:
      return TransposeTiles<uint32_t>(in, rows, cols, out, stride);
  }
}

}  // namespace ingot

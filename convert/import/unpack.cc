#include "convert/import/unpack.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "convert/import/unpack_kernels.h"
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

// Spreads 8 codes of 1 or 2 bits, which lie one after the other in the low bits of `x`, over the bytes of a word:
// the upper half moves up until each code is alone in its byte.
template <int kBits>
uint64_t Spread(uint64_t x) {
  if constexpr (kBits == 2) {
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
  using Packed = std::conditional_t<kBits == 2, uint16_t, uint8_t>;
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

// Where code j of a word lies: the inverse of the order that AutoAWQ packs in.
constexpr std::array<uint32_t, 8> kAwqPlace = {0, 4, 1, 5, 2, 6, 3, 7};

void UnpackNibbleLine(CodeOrder order, const std::byte* line, uint64_t count, uint8_t* codes) {
  const NibbleOrder nibbles = order == CodeOrder::kAwq         ? NibbleOrder::kEvenOdd
                              : order == CodeOrder::kHighFirst ? NibbleOrder::kHighFirst
                                                               : NibbleOrder::kLowFirst;
  const uint64_t whole = count / kNibbleRun * kNibbleRun;
  UnpackNibbles(nibbles, line, whole, codes);
  for (uint64_t i = whole; i < count; ++i) codes[i] = CodeAt(order, 4, line, i);
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
  if (bits == 4) return UnpackNibbleLine(order, line, count, codes);
  // These have no gaps, whatever they are called.
  const bool stream = order == CodeOrder::kStream || bits == 1 || bits == 2 || bits == 8;
  if (!stream) {
    for (uint64_t i = 0; i < count; ++i) codes[i] = CodeAt(order, bits, line, i);
    return;
  }
  switch (bits) {
    case 1:
      return UnpackBytes<1>(line, count, codes);
    case 2:
      return UnpackBytes<2>(line, count, codes);
    case 8:
      if (count != 0) std::memcpy(codes, line, count);
      return;
    default:
      return UnpackOdd(bits, line, count, codes);
  }
}

void UnpackColumns(CodeOrder order, int bits, const std::byte* words, uint64_t stride, uint64_t lines, uint64_t count,
                   uint8_t* codes, uint64_t out_stride) {
  std::array<int, kWordBits> shifts;
  const auto per_word = kWordBits / static_cast<size_t>(bits);
  for (size_t j = 0; j < per_word; ++j)
    shifts[j] = bits * static_cast<int>(order == CodeOrder::kAwq ? kAwqPlace[j] : j);
  UnpackWordColumns({words, stride, lines, bits, std::span(shifts).first(per_word)}, count, codes, out_stride);
}

void Transpose(int element_size, const std::byte* in, uint64_t rows, uint64_t cols, std::byte* out, uint64_t stride,
               uint64_t out_stride) {
  TransposeElements(element_size, in, rows, cols, stride == 0 ? cols : stride, out,
                    out_stride == 0 ? rows : out_stride);
}

}  // namespace ingot

#include "convert/import/unpack.h"

#include <algorithm>
#include <array>
#include <cstring>

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

// Widths that divide a byte need no words: code j of a byte is at bit bits * j.
template <int kBits>
void UnpackBytes(const std::byte* line, uint64_t count, uint8_t* codes) {
  constexpr uint64_t kPerByte = 8 / kBits;
  constexpr uint32_t kMask = (1u << kBits) - 1;
  const uint64_t whole = count / kPerByte;
  for (uint64_t i = 0; i < whole; ++i) {
    const uint32_t byte = ByteAt(line, i);
    for (uint64_t j = 0; j < kPerByte; ++j)
      codes[i * kPerByte + j] = static_cast<uint8_t>(byte >> (static_cast<uint64_t>(kBits) * j) & kMask);
  }
  for (uint64_t i = whole * kPerByte; i < count; ++i) codes[i] = StreamCode(kBits, line, i);
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
    const uint32_t word = Word(line, i / 8);
    for (uint32_t j = 0; j < 8; ++j) codes[i + j] = static_cast<uint8_t>(word >> (4 * kAwqPlace[j]) & 15);
  }
  for (; i < count; ++i) codes[i] = CodeAt(CodeOrder::kAwq, 4, line, i);
}

template <typename T>
void TransposeTiles(const std::byte* in, uint64_t rows, uint64_t cols, std::byte* out) {
  constexpr uint64_t kTile = 16;  // rows whose cache lines are open at a time
  for (uint64_t r0 = 0; r0 < rows; r0 += kTile) {
    const uint64_t r1 = std::min(rows, r0 + kTile);
    for (uint64_t c = 0; c < cols; ++c) {
      for (uint64_t r = r0; r < r1; ++r)
        std::memcpy(out + (c * rows + r) * sizeof(T), in + (r * cols + c) * sizeof(T), sizeof(T));
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

void Transpose(int element_size, const std::byte* in, uint64_t rows, uint64_t cols, std::byte* out) {
  switch (element_size) {
    case 1:
      return TransposeTiles<uint8_t>(in, rows, cols, out);
    case 2:
      return TransposeTiles<uint16_t>(in, rows, cols, out);
    default:
      return TransposeTiles<uint32_t>(in, rows, cols, out);
  }
}

}  // namespace ingot

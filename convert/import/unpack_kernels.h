// The steps of taking other systems' words apart that most of the time goes into, in SIMD; the same bytes on every
// target. Thread-safe: pure functions on the caller's memory; no alignment is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ingot {

// Transposes a matrix of `rows` by `cols` elements of 1, 2 or 4 bytes, whose rows lie `stride` elements apart, into
// rows that lie `out_stride` elements apart.
void TransposeElements(int element_size, const std::byte* in, uint64_t rows, uint64_t cols, uint64_t stride,
                       std::byte* out, uint64_t out_stride);

// How the nibbles of bytes become codes.
enum class NibbleOrder : uint8_t {
  kLowFirst,
  kHighFirst,
  kEvenOdd,  // of each 4 bytes: nibbles 0 4 1 5 2 6 3 7, low first
};

// Nibbles that are unpacked at a time.
inline constexpr uint64_t kNibbleRun = 32;

// One byte a nibble; `count` is a multiple of kNibbleRun.
void UnpackNibbles(NibbleOrder order, const std::byte* in, uint64_t count, uint8_t* codes);

// Lines of 32-bit words that lie in columns: word w of line c is word w * stride + c. Each word has a code of `bits`
// bits at each of `shifts`.
struct WordColumns {
  const std::byte* words;
  uint64_t stride, lines;
  int bits;
  std::span<const int> shifts;
};
// Code i of line c, of `count` in each line, goes to codes[i * out_stride + c].
void UnpackWordColumns(const WordColumns& columns, uint64_t count, uint8_t* codes, uint64_t out_stride);

}  // namespace ingot

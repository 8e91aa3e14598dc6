// Codes out of the words of other systems, one line of them at a time: to one byte a code. The bytes are those of the
// file (little-endian words). Thread-safe: pure functions on the caller's memory; no alignment is needed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/bytes.h"

namespace ingot {

// How the codes of a line follow each other.
enum class CodeOrder : uint8_t {
  kStream,       // one stream of bits, from the low end of each word
  kPlanar,       // 32 codes in `bits` words, each field of format/packing.h in words of its own (GPTQModel)
  kWordAligned,  // floor(32 / bits) codes a word, the bits above unused (compressed-tensors before 0.17)
  kHighFirst,    // 4 bits: the high nibble of a byte first (bitsandbytes)
  kAwq,          // 4 bits: the 8 codes of a word in the order 0 2 4 6 1 3 5 7
};

// 32-bit words that hold a line of `count` codes. No overflow for count < 2^56.
uint64_t LineWords(CodeOrder order, int bits, uint64_t count);
// Bytes that are read of it: all of its words, or, where the order is one of bytes (kStream, kHighFirst), those that
// have a code.
uint64_t LineBytes(CodeOrder order, int bits, uint64_t count);

// Unpacks a line of `count` codes; reads LineBytes(order, bits, count) bytes.
void UnpackLine(CodeOrder order, int bits, const std::byte* line, uint64_t count, uint8_t* codes);

// The same of many lines of which the words lie in columns: word w of line c at words + 4 * (w * stride + c). Code i of
// line c, of `lines` lines of `count` codes, goes to codes[i * out_stride + c]. `bits` divides 32, kPlanar apart.
void UnpackColumns(CodeOrder order, int bits, const std::byte* words, uint64_t stride, uint64_t lines, uint64_t count,
                   uint8_t* codes, uint64_t out_stride);

// Code number `i` of a line, by the definition of its order. What UnpackLine is checked against.
uint8_t CodeAt(CodeOrder order, int bits, const std::byte* line, uint64_t i);

// Transposes a matrix of `rows` by `cols` elements of 1, 2 or 4 bytes, whose rows lie `stride` elements (0: cols)
// apart, into rows that lie `out_stride` elements (0: rows) apart.
void Transpose(int element_size, const std::byte* in, uint64_t rows, uint64_t cols, std::byte* out, uint64_t stride = 0,
               uint64_t out_stride = 0);

}  // namespace ingot

// The tensor types of GGUF: how large their blocks are, and what becomes of each. Constants; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "format/dtype.h"

namespace ingot {

enum class GgufImport : uint8_t {
  kRaw,      // plain elements
  kLinear,   // blocks of codes, scales and offsets: the formula (spec/ENCODINGS.md, 2)
  kForeign,  // blocks that are kept verbatim
  kRefused,
};

// s or o of a block type: an f16 per block; or a code per group, times an f16 per block or by a codebook.
struct GgufOperand {
  int half = -1;      // the byte of the block at which the f16 lies; -1: there is none
  uint16_t flip = 0;  // bits of the f16 to invert: 0x8000 where GGUF adds what the formula subtracts
  int bits = 0;       // of the codes; 0: there are none
  float zero = 0;     // their zero-point
  std::span<const float> codebook = {};
};

// The codes of `count` blocks that follow each other: a byte per element; a byte per group of s and of o where those
// have codes.
using GgufUnpack = void(const std::byte* blocks, uint64_t count, uint8_t* codes, uint8_t* s, uint8_t* o);
// The reverse of GgufUnpack. The blocks must be zero; their f16 are left to the caller.
using GgufPack = void(const uint8_t* codes, const uint8_t* s, const uint8_t* o, uint64_t count, std::byte* blocks);
// The values of one block, by ggml's own formula.
using GgufDecode = void(const std::byte* block, float* out);

struct GgufLinear {
  int bits;
  uint32_t group;  // columns
  float zero;
  std::span<const float> codebook;
  GgufOperand s, o;
  GgufUnpack* unpack;
  GgufDecode* decode;
  GgufPack* pack;
};

struct GgufType {
  uint32_t id;
  std::string_view name;  // "Q4_K"
  GgufImport import;
  DType dtype;  // of the tensor
  uint32_t block_bytes;
  uint32_t block_elements;
  const GgufLinear* linear;  // of kLinear
  std::string_view refusal;  // of kRefused: why
};

inline constexpr uint32_t kMaxGgufBlock = 256;  // elements

// All that are known, by id.
std::span<const GgufType> AllGgufTypes();
// The entry of an id, or nothing if it is not known.
const GgufType* FindGgufType(uint32_t id);

}  // namespace ingot

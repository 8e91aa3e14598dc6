#include "convert/pack_words.h"

#include <algorithm>
#include <cstring>

#include "format/packing.h"

namespace ingot {
namespace {

constexpr uint64_t kWordBits = 32;

// 32 codes: their lowest `bits` bits as one stream.
void PackStream32(int bits, const uint8_t* codes, uint64_t count, std::byte* words) {
  uint64_t wide = 0;
  int filled = 0;
  for (uint64_t i = 0; i < count; ++i) {
    wide |= static_cast<uint64_t>(codes[i]) << filled;
    filled += bits;
    if (filled < 32) continue;
    Store(words, static_cast<uint32_t>(wide));
    words += 4;
    wide >>= 32;
    filled -= 32;
  }
  if (filled > 0) Store(words, static_cast<uint32_t>(wide));
}

// 32 codes: the fields of format/packing.h, each in words of its own.
void PackPlanar32(int bits, const uint8_t* codes, uint64_t count, std::byte* words) {
  std::memset(words, 0, 4 * static_cast<size_t>(bits));
  int shift = 0;
  for (uint32_t width : FieldWidths(bits)) {
    const uint32_t per_word = 32 / width;
    for (uint32_t i = 0; i < count; ++i) {
      std::byte* word = words + 4 * (i / per_word);
      const uint32_t field = static_cast<uint32_t>(codes[i]) >> shift & ((1u << width) - 1);
      Store(word, Load<uint32_t>(word) | field << (width * (i % per_word)));
    }
    words += size_t{4} * width;
    shift += static_cast<int>(width);
  }
}

}  // namespace

void PackLine(CodeOrder order, int bits, const uint8_t* codes, uint64_t count, std::byte* line) {
  for (uint64_t i = 0; i < count; i += kWordBits) {
    const uint64_t n = std::min(kWordBits, count - i);
    std::byte* words = line + i / kWordBits * 4 * static_cast<uint64_t>(bits);
    if (order == CodeOrder::kPlanar) {
      PackPlanar32(bits, codes + i, n, words);
    } else {
      PackStream32(bits, codes + i, n, words);
    }
  }
}

}  // namespace ingot

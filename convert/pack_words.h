// Codes into the words of other systems, one line of them at a time: what convert/import/unpack.h takes apart. Pure
// functions on the caller's memory; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "convert/import/unpack.h"

namespace ingot {

// Packs a line of `count` codes, each below 2^bits, into LineWords(order, bits, count) words, all of which are written.
// `order` is kStream or kPlanar.
void PackLine(CodeOrder order, int bits, const uint8_t* codes, uint64_t count, std::byte* line);

}  // namespace ingot

// The rules that need the bytes of planes: packing, operand arrays, permutations, outliers (spec/ENCODINGS.md). They
// are checked in a stream of chunks, so that memory stays bounded whatever a file claims.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "format/index.h"
#include "format/report.h"

namespace ingot {

// Gives out the logical bytes of a plane: `use` is called for each chunk in order until it returns false. False if they
// could not be read (the reason is then reported elsewhere).
using ChunkWalk = std::function<bool(uint32_t plane, const std::function<bool(ByteSpan chunk)>& use)>;

// Checks R-PACK-1, R-LIN-7, R-PERM-*, R-OUT-* of one root encoding and its children. The index must be valid as far as
// this encoding goes.
void CheckContent(const Index& index, uint32_t encoding, const std::string& place, const ChunkWalk& walk,
                  Report& report);

}  // namespace ingot

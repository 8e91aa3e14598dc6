// The records of a model as JSON: what `ingot inspect --json` prints.
#pragma once

#include <cstdint>
#include <string>

#include "format/index.h"
#include "runtime/model.h"
#include "tools/output.h"

namespace ingot {

// A typed metadata value: exact integers, arrays, floats that JSON lacks as texts.
Json MetadataJson(const MetadataRecord& record);

// One encoding with its payload spelled out, its planes and its nested encodings. `dtype` is that of the tensor.
Json EncodingJson(const Index& index, uint32_t encoding, uint8_t dtype, bool nested = false);

// The role of plane `i` of an encoding ("codes, 2-bit field"); of an unknown kind just "plane".
std::string PlaneRoleText(const Index& index, const EncodingRecord& encoding, uint32_t i, bool nested);
// How the chunks of a plane are stored: "raw", "3 zstd, 1 stored".
std::string FramesText(const Index& index, const PlaneRecord& plane);

// "raw", "linear", "foreign" or "unknown".
std::string_view KindName(const EncodingRecord& encoding);

// "xxh3:" and 32 hexadecimal digits.
std::string DigestText(const Hash128& hash);

}  // namespace ingot

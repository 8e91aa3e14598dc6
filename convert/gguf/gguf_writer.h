// The header of a new GGUF file: metadata, and where its tensors will lie. Functions are thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/gguf/gguf_types.h"
#include "convert/source.h"
#include "format/status.h"

namespace ingot {

struct GgufEntry {
  std::string name;
  std::vector<uint64_t> shape;  // the slowest dimension first
  const GgufType* type;
  uint64_t offset = 0;  // from the start of the file; filled in, like the size, by BuildGgufHeader
  uint64_t size = 0;
};

// The bytes up to the first tensor, for GGUF version 3: `metadata` with its own types, then `tensors` one after the
// other, each at a multiple of general.alignment (32 where that is not given). `file_size` counts the padding of the
// last one. Errors: kBadInput that begins with `what` and names a tensor or key that GGUF cannot have.
Result<std::vector<std::byte>> BuildGgufHeader(const SourceMetadata& metadata, const std::string& what,
                                               std::vector<GgufEntry>& tensors, uint64_t& file_size);

// Values of the types that GGUF files use most.
MetadataValue GgufU32(uint32_t value);
MetadataValue GgufF32(float value);
MetadataValue GgufStrings(const std::vector<std::string>& values);
MetadataValue GgufI32s(const std::vector<int32_t>& values);
MetadataValue GgufF32s(const std::vector<float>& values);

}  // namespace ingot

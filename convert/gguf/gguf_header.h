// The header of a GGUF file: metadata and the tensors' places, read once, every rule checked before a tensor is handed
// out. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/byte_source.h"
#include "convert/gguf/gguf_types.h"
#include "convert/source.h"
#include "format/status.h"

namespace ingot {

inline constexpr size_t kMaxGgufDimensions = 4;
inline constexpr size_t kMaxGgufName = 63;      // bytes of a tensor's name, the limit of ggml's reader
inline constexpr size_t kMaxGgufKeys = 65'534;  // with Ingot's own two, the most that an index holds
inline constexpr size_t kMaxGgufKey = 4091;     // bytes: with "gguf." before it, a key of Ingot's metadata

struct GgufTensorInfo {
  std::string name;
  std::vector<uint64_t> shape;  // the slowest dimension first, the reverse of the file's order
  const GgufType* type;
  uint64_t offset;  // from the start of the file
  uint64_t size;

  uint64_t element_count() const;
};

struct GgufHeader {
  uint32_t version = 0;
  std::vector<GgufTensorInfo> tensors;  // in the order of the file, which is that of their offsets
  SourceMetadata metadata;              // sorted by key

  // The value of a key, or nothing.
  const MetadataValue* Find(std::string_view key) const;
};

// Reads and checks the header of the file in `source`, which messages call `what`: versions 2 and 3, little-endian. It
// is streamed; memory follows what is really there. Errors: kBadInput naming file, key or tensor, and values; what
// `source` returns.
Result<GgufHeader> ReadGgufHeader(const ByteSource& source, const std::string& what);

}  // namespace ingot

// The header of a safetensors file: read once, every rule checked before a tensor is handed out. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "convert/byte_source.h"
#include "convert/source.h"
#include "format/status.h"

namespace ingot {

inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;  // bytes of JSON, the limit of the format's own reader
inline constexpr size_t kMaxDimensions = 8;
inline constexpr size_t kMaxTensorName = 4096;          // bytes
inline constexpr size_t kMaxTensors = size_t{1} << 20;  // in one file, and in one set of shards

struct SafetensorsHeader {
  std::vector<SourceTensor> tensors;  // by offset; `file` is 0, offsets count from the start of the file
  std::vector<std::pair<std::string, std::string>> metadata;  // __metadata__, sorted by key
};

// Reads and checks the header of the file in `source`, which messages call `what`. The text is streamed, memory follows
// the number of tensors that are really there. Errors: kBadInput naming file, tensor and values; what `source` returns.
Result<SafetensorsHeader> ReadSafetensorsHeader(const ByteSource& source, const std::string& what);

}  // namespace ingot

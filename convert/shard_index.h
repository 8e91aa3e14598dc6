// The index of a sharded checkpoint (model.safetensors.index.json): which tensor is in which shard.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "convert/byte_source.h"
#include "format/status.h"

namespace ingot {

struct ShardIndex {
  struct Entry {
    std::string tensor;
    uint32_t shard;  // index into shards
  };
  std::vector<std::string> shards;                            // file names, sorted, each a safe name
  std::vector<Entry> weight_map;                              // sorted by tensor
  std::vector<std::pair<std::string, std::string>> metadata;  // the texts among the index's metadata, sorted by key
};

// Reads {"metadata": {...}, "weight_map": {tensor: file}}; other keys are ignored. Errors: kBadInput naming `what`,
// tensor and shard; what `source` returns. Thread-safe.
Result<ShardIndex> ReadShardIndex(const ByteSource& source, const std::string& what);

}  // namespace ingot

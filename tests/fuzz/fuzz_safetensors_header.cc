// Any bytes as a safetensors file, and as the index of shards: refused, or all ranges lie within the file.
#include "convert/safetensors.h"
#include "convert/shard_index.h"
#include "format/checked.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  const ByteSource source = SourceOf(std::as_bytes(std::span(data, size)));
  if (const auto header = ReadSafetensorsHeader(source, "fuzz")) {
    uint64_t covered = 0;
    for (const SourceTensor& tensor : header->tensors) {
      const auto elements = CheckedProduct(tensor.shape);
      Require(tensor.shape.size() <= kMaxDimensions && tensor.name.size() <= kMaxTensorName);
      Require(InRange(tensor.offset, tensor.size, size));
      Require(elements && *elements * InfoOf(tensor.dtype).size == tensor.size);
      covered += tensor.size;
    }
    Require(covered <= size);
  }
  if (const auto index = ReadShardIndex(source, "fuzz")) {
    for (const ShardIndex::Entry& entry : index->weight_map) Require(entry.shard < index->shards.size());
  }
  return 0;
}

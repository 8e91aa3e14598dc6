// A model: one .ingot file, or a manifest with its shards, seen as one list of tensors in the order of their names.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/status.h"
#include "runtime/container.h"

namespace ingot {

// Immutable after Open; thread-safe. Records and names live as long as the model.
class Model {
 public:
  // Opens a file and, if it is a manifest, its shards beside it. A shard that is missing, foreign, stale or that
  // repeats a tensor name is named (kBadInput).
  static Result<std::shared_ptr<const Model>> Open(const std::string& path);

  // The file itself, then its shards in the order of the manifest.
  const std::vector<std::shared_ptr<const Container>>& containers() const { return containers_; }
  const Container& main() const { return *containers_.front(); }

  // A tensor: which container, and its number there.
  struct TensorId {
    uint32_t container;
    uint32_t tensor;
  };
  uint32_t tensor_count() const;
  TensorId id(uint32_t i) const { return merged_.empty() ? TensorId{0, i} : merged_[i]; }
  const Container& container_of(uint32_t i) const { return *containers_[id(i).container]; }
  TensorRecord tensor(uint32_t i) const { return container_of(i).index().tensor(id(i).tensor); }
  bool is_alias(uint32_t i) const { return container_of(i).index().IsAlias(id(i).tensor); }
  std::optional<uint32_t> Find(std::string_view name) const;

  // spec/FORMAT.md, section 9. Computed on request: O(size of the index).
  Hash128 ContentDigest() const;

 private:
  Model() = default;
  Status OpenShards();
  Status Merge();
  std::vector<std::shared_ptr<const Container>> containers_;
  std::vector<TensorId> merged_;  // with shards: in the order of names
};

// The folder that a path is in, with its slash; empty for a bare name.
std::string FolderOf(const std::string& path);

// Bytes that the planes of a tensor take, those of nested encodings included, logical (padding counted).
uint64_t PlaneBytesOf(const Index& index, const TensorRecord& tensor);
// The same, as stored in the file (compressed planes count what they take).
uint64_t StoredBytesOf(const Index& index, const TensorRecord& tensor);
// One encoding in a few words: "raw F16", "linear 4-bit g128 s F16 z (4-bit)", "foreign iq2_xs", "unknown kind 77".
std::string DescribeEncoding(const Index& index, uint32_t encoding, uint8_t dtype);
// That of a tensor: its parts' descriptions, equal ones once ("2 parts: ...").
std::string DescribeTensor(const Index& index, const TensorRecord& tensor);

}  // namespace ingot

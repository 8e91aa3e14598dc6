// A checkpoint as the importers see it: the tensors that are really in its files, its configuration, and the tensors
// that they stand for.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "convert/encoded_tensor.h"
#include "convert/import/config.h"
#include "convert/import/unpack.h"
#include "convert/source.h"

namespace ingot {

// The JSON files beside a checkpoint that describe it; empty where there is none.
struct CheckpointConfigs {
  Config config;           // config.json
  Config quantize_config;  // quantize_config.json or quant_config.json
  Config quanto_map;       // quanto_qmap.json or quantization_map.json

  // Reads those among the files beside a checkpoint. Errors: kBadInput, kIo.
  static Result<CheckpointConfigs> Read(const std::vector<SourceAttachment>& files);
};

// Immutable once made. `source` must outlive it.
class Checkpoint {
 public:
  // Errors: kBadInput if what should describe the quantization is no object.
  static Result<Checkpoint> Make(const Source& source, CheckpointConfigs configs);

  const Source& source() const { return *source_; }
  const std::string& path() const { return source_->files().front().path; }  // for messages
  // The tensor of that name, or nullptr.
  const SourceTensor* Find(std::string_view name) const;
  // The same; kBadInput naming both if it is missing or has another type or shape. An empty optional stands for any
  // size.
  using Shape = std::vector<std::optional<uint64_t>>;
  Result<const SourceTensor*> Need(std::string_view name, std::initializer_list<DType> types, const Shape& shape) const;
  // What comes before `suffix` in the names that end with it, in the order of the source.
  std::vector<std::string> Modules(std::string_view suffix) const;

  // config.json, and what describes its quantization: its "quantization_config" (or "quantization"), else
  // quantize_config.json or quant_config.json. Empty if there is none.
  const Config& config() const { return configs_.config; }
  const Config& quantization() const { return quantization_; }
  // Another description beside that of config.json, which must not contradict it.
  const Config& second_quantization() const { return configs_.quantize_config; }
  // quanto's map of modules.
  const Config& quanto_map() const { return configs_.quanto_map; }

  // kBadInput: "FILE: tensor 'NAME': ...".
  template <typename... Args>
  tl::unexpected<Error> Refuse(std::string_view name, fmt::format_string<Args...> text, Args&&... args) const {
    return RefuseText(name, fmt::format(text, std::forward<Args>(args)...));
  }

 private:
  tl::unexpected<Error> RefuseText(std::string_view name, const std::string& text) const;

  const Source* source_ = nullptr;
  std::unordered_map<std::string_view, const SourceTensor*> by_name_;
  CheckpointConfigs configs_;
  Config quantization_;
};

// What an importer makes of a checkpoint.
class Imports {
 public:
  explicit Imports(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // A quantized tensor that stands for `members`, the first of which has its codes. Errors: kBadInput if there is one
  // of that name already, or if it is larger than the format allows.
  Status Add(std::string name, DType dtype, std::vector<uint64_t> shape, std::shared_ptr<const EncodedTensor> encoded,
             std::initializer_list<const SourceTensor*> members);
  // A tensor that needs no place in the new file: what it says follows from others. Null is ignored.
  void Drop(const SourceTensor* tensor) {
    if (tensor != nullptr) taken_.insert(tensor);
  }

  const std::vector<SourceTensor>& tensors() const { return tensors_; }
  bool IsTaken(const SourceTensor& tensor) const { return taken_.contains(&tensor); }

 private:
  const Checkpoint& checkpoint_;
  std::vector<SourceTensor> tensors_;
  std::unordered_set<std::string> names_;
  std::unordered_set<const SourceTensor*> taken_;
};

// Bytes of a tensor from byte `offset` of its elements on, which need not be at the beginning of an element.
Status ReadBytes(const Source& source, const SourceTensor& tensor, uint64_t offset, std::span<std::byte> out);
// All elements of a tensor, as they are stored.
Result<std::vector<std::byte>> ReadAll(const Source& source, const SourceTensor& tensor);
// Columns [first, first + count) of all rows of a tensor of two dimensions, row-major.
Result<std::vector<std::byte>> ReadColumns(const Source& source, const SourceTensor& tensor, uint64_t first,
                                           uint64_t count);
// All elements of a small floating tensor, widened.
Result<std::vector<float>> ReadFloats(const Source& source, const SourceTensor& tensor);

}  // namespace ingot

// Writes the tensors of a model as one GGUF file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/gguf/gguf_export_tensor.h"
#include "convert/gguf/gguf_writer.h"
#include "format/status.h"
#include "runtime/model.h"
#include "runtime/output_file.h"
#include "runtime/progress.h"

namespace ingot {

struct GgufOptions {
  bool requantize = false;  // write what GGUF has no type for as Q8_0, or as F16 where rows are not multiples of 32
  std::string name;         // general.name of a model that has none
};

// What a GGUF file is to hold: its header is made before any block is. Immutable; thread-safe.
//
// A model that came from a GGUF file gets its metadata, its types, the bytes and the order of its tensors back, but for
// what the import drops (convert/gguf/gguf_tensor.h) and the order of metadata. TQ1_0 and TQ2_0 are one encoding: it is
// TQ1_0 where general.file_type says so and no code is 3. One that came from a Hugging Face checkpoint of the llama
// family is translated: names, metadata, tokenizer, the rows of attention heads. Of any other, the tensors are written
// under their names, almost without metadata.
class GgufPlan {
 public:
  enum class Origin : uint8_t { kGguf, kLlama, kOther };

  // Plans the tensors `numbers` of a model (ascending). An alias is a tensor like any other, but for an output head
  // that is tied to the embedding. Errors: kBadInput for what GGUF cannot hold, or a configuration or tokenizer that
  // cannot be translated; each is named.
  static Result<GgufPlan> Make(const Model& model, const std::vector<uint32_t>& numbers, const GgufOptions& options);

  Origin origin() const { return origin_; }
  const std::vector<GgufTensorPlan>& tensors() const { return tensors_; }  // in the order of the new file
  const std::vector<GgufEntry>& entries() const { return entries_; }       // of the same tensors
  uint64_t file_size() const { return file_size_; }

  // Writes the whole file, as SafetensorsPlan::Write does.
  Status Write(const Model& model, OutputFile& out, const ProgressFn& progress) const;

 private:
  void AddFileType(SourceMetadata& metadata) const;

  Origin origin_ = Origin::kOther;
  std::vector<GgufTensorPlan> tensors_;
  std::vector<GgufEntry> entries_;
  std::vector<std::byte> header_;
  uint64_t file_size_ = 0;
};

}  // namespace ingot

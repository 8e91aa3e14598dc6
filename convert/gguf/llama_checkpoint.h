// Checkpoints of the llama family as Hugging Face stores them, in the terms of GGUF: names, metadata, tokenizer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "convert/source.h"
#include "format/status.h"
#include "runtime/model.h"

namespace ingot {

// Immutable; thread-safe.
class LlamaCheckpoint {
 public:
  // Reads the attachments config.json, tokenizer.json and tokenizer_config.json of a model. Nothing if there is no
  // config.json. `name` becomes general.name. Errors: kBadInput that names what is not supported, and what is.
  static Result<std::optional<LlamaCheckpoint>> Read(const Model& model, const std::string& name);

  struct Target {
    std::string name;
    uint64_t head_rows = 0;  // rows of a head, which are to be interleaved; 0: they stay where they are
  };
  // What becomes of a tensor of the same model; nothing if GGUF leaves it out. kBadInput for one that is not known.
  Result<std::optional<Target>> Translate(const Model& model, uint32_t number) const;

  const SourceMetadata& metadata() const { return metadata_; }
  // Of the tensor rope_freqs.weight; empty if there is none.
  const std::vector<float>& rope_factors() const { return rope_factors_; }

 private:
  friend class LlamaConfig;
  SourceMetadata metadata_;
  std::vector<float> rope_factors_;
  uint64_t layers_ = 0, heads_ = 0, kv_heads_ = 0;
  bool tied_ = false;
};

}  // namespace ingot

// A tokenizer.json as the metadata of a GGUF file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// Adds the tokenizer.* keys for a vocabulary of `vocab_size` tokens. `settings` is tokenizer_config.json, `config`
// config.json; either may be empty. Byte-level BPE with the pre-tokenizers of GPT-2 and Llama 3 is supported, and BPE
// with byte tokens in the manner of SentencePiece (Llama 2). Errors: kBadInput that begins with `what` and names what
// is not supported.
Status AddGgufTokenizer(const nlohmann::json& tokenizer, const nlohmann::json& settings, const nlohmann::json& config,
                        uint64_t vocab_size, const std::string& what, SourceMetadata& metadata);

}  // namespace ingot

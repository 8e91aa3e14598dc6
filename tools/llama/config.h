// What a model of the Llama family looks like: its sizes, and how positions turn into rotations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/llama/ingot_file.h"

namespace llama {

// Who named the tensors. It also decides how the rows of q and k are ordered inside a head: the rotary embedding turns
// pairs of them, which Hugging Face stores half a head apart and GGUF next to each other.
enum class Layout { kHuggingFace, kGguf };

// The rotary embedding. Which fields count depends on the type.
struct RopeConfig {
  std::string type = "default";  // or linear, llama3, yarn
  double theta = 10000;
  double factor = 1;                                 // linear, llama3, yarn
  double original_context = 0;                       // llama3, yarn: what the model was trained on at first
  double low_freq_factor = 0, high_freq_factor = 0;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn: of cosine and sine
  bool truncate = true;                              // yarn: whether the bounds of its ramp are whole numbers
};

struct Config {
  Layout layout = Layout::kHuggingFace;
  std::string source;  // where the values stand, for messages: "config.json" or "metadata"
  uint64_t vocabulary = 0, width = 0, inner = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  uint64_t context = 0;  // the most positions that the model was made for
  uint64_t window = 0;   // a token sees itself and window - 1 tokens before it; 0: all
  float epsilon = 0;     // of the norms
  bool tied = false;     // without a head of its own, the model takes the embedding
  bool attention_bias = false, mlp_bias = false;
  RopeConfig rope;
};

// From config.json among the attachments, or from the metadata of GGUF. What the forward pass cannot do is refused by
// name. Throws Failure.
Config ReadConfig(const IngotFile& file);

// The two of them; each sets everything but `layout`.
Config ReadHuggingFaceConfig(const IngotFile& file, const std::string& text);
Config ReadGgufConfig(const IngotFile& file);

// Checks that belong to both.
void CheckConfig(const IngotFile& file, const Config& config);

// Factor of cosine and sine for contexts stretched by `factor` (yarn).
double YarnAttentionFactor(double factor, double scale = 1);

}  // namespace llama

// The weights of a model: every tensor found by its name and checked against the configuration before the first token.
#pragma once

#include <vector>

#include "tools/llama/config.h"
#include "tools/llama/ingot_file.h"

namespace llama {

// y = W x + b. W stays packed in the mapped file; b, if there is one, is decoded.
struct Linear {
  Tensor weight;
  std::vector<float> bias;
};

struct Layer {
  std::vector<float> attention_norm, mlp_norm;
  Linear q, k, v, output;  // of the attention
  Linear gate, up, down;   // of the MLP
};

struct Weights {
  Tensor embedding;
  std::vector<Layer> layers;
  std::vector<float> norm;
  Linear head;
  std::vector<float> rope_divisors;  // GGUF's rope_freqs.weight; else empty
};

// Throws Failure: a tensor that is missing, has another shape than the configuration says, or cannot be computed with.
Weights LoadWeights(const IngotFile& file, const Config& config);

}  // namespace llama

// The forward pass on the CPU: tokens in, logits out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tools/llama/attention.h"
#include "tools/llama/config.h"
#include "tools/llama/engine.h"
#include "tools/llama/rope.h"
#include "tools/llama/weights.h"

namespace llama {

// Each call uses all threads itself.
class CpuEngine : public Engine {
 public:
  // `capacity`: the most positions of a sequence; `batch`: the most tokens of a call. Keeps references.
  CpuEngine(const Config& config, const Weights& weights, ingot_precision precision, uint64_t capacity, uint64_t batch);

  void Run(std::span<const uint32_t> tokens, uint64_t position) override;
  void Project(uint64_t first, uint64_t count) override;
  std::span<const float> Logits() override { return logits_; }
  std::vector<double> Losses(uint64_t row, std::span<const uint32_t> targets) override;

 private:
  void Apply(const Linear& linear, const std::vector<float>& x, uint64_t count, std::vector<float>& y) const;
  void RunAttention(const Layer& layer, KvCache& cache, uint64_t position, uint64_t count);
  void RunMlp(const Layer& layer, uint64_t count);

  const Config& config_;
  const Weights& weights_;
  ingot_precision precision_;
  Rope rope_;
  std::vector<KvCache> caches_;  // one a layer
  // Activations of a batch, row by row: allocated once, reused by every layer.
  std::vector<float> hidden_, normed_, added_;  // [batch][width]
  std::vector<float> q_, attended_;             // [batch][heads * head_dim]
  std::vector<float> k_, v_;                    // [batch][kv_heads * head_dim]
  std::vector<float> gate_, up_;                // [batch][inner]
  std::vector<float> logits_;
};

}  // namespace llama

#include "tools/llama/forward.h"

#include <tbb/parallel_for.h>

#include "tools/llama/rows.h"

namespace llama {
namespace {

void Norm(const std::vector<float>& x, const std::vector<float>& weight, uint64_t count, float epsilon,
          std::vector<float>& out) {
  const uint64_t width = weight.size();
  for (uint64_t t = 0; t < count; ++t) NormRow(&x[t * width], weight.data(), width, epsilon, &out[t * width]);
}

}  // namespace

CpuEngine::CpuEngine(const Config& config, const Weights& weights, ingot_precision precision, uint64_t capacity,
                     uint64_t batch)
    : config_(config),
      weights_(weights),
      precision_(precision),
      rope_(config, weights.rope_divisors, capacity),
      hidden_(batch * config.width),
      normed_(batch * config.width),
      added_(batch * config.width),
      q_(batch * config.heads * config.head_dim),
      attended_(q_.size()),
      k_(batch * config.kv_heads * config.head_dim),
      v_(k_.size()),
      gate_(batch * config.inner),
      up_(gate_.size()) {
  caches_.reserve(config.layers);
  for (uint64_t i = 0; i < config.layers; ++i) caches_.emplace_back(config, capacity);
}

// The product reads the packed weights from the file's pages. This is all there is to computing with quantized weights:
// which encoding a tensor has never matters here.
void CpuEngine::Apply(const Linear& linear, const std::vector<float>& x, uint64_t count, std::vector<float>& y) const {
  linear.weight.Multiply(precision_, x.data(), count, y.data());
  if (linear.bias.empty()) return;
  const uint64_t rows = linear.bias.size();
  for (uint64_t t = 0; t < count; ++t) AddRow(&y[t * rows], linear.bias.data(), rows);
}

void CpuEngine::RunAttention(const Layer& layer, KvCache& cache, uint64_t position, uint64_t count) {
  Norm(hidden_, layer.attention_norm, count, config_.epsilon, normed_);
  Apply(layer.q, normed_, count, q_);
  Apply(layer.k, normed_, count, k_);
  Apply(layer.v, normed_, count, v_);
  const uint64_t dim = config_.head_dim;
  for (uint64_t t = 0; t < count; ++t) {
    for (uint64_t h = 0; h < config_.heads; ++h) rope_.Turn(&q_[(t * config_.heads + h) * dim], position + t);
    for (uint64_t h = 0; h < config_.kv_heads; ++h) rope_.Turn(&k_[(t * config_.kv_heads + h) * dim], position + t);
  }
  cache.Store(position, count, k_.data(), v_.data());
  Attend(config_, cache, position, count, q_.data(), attended_.data());
  Apply(layer.output, attended_, count, added_);
  AddRow(hidden_.data(), added_.data(), count * config_.width);
}

void CpuEngine::RunMlp(const Layer& layer, uint64_t count) {
  Norm(hidden_, layer.mlp_norm, count, config_.epsilon, normed_);
  Apply(layer.gate, normed_, count, gate_);
  Apply(layer.up, normed_, count, up_);
  // Large enough pieces that handing one to another thread is worth it.
  const tbb::blocked_range<uint64_t> all(0, count * config_.inner, 4096);
  tbb::parallel_for(all, [&](const auto& r) { SwiGlu(&gate_[r.begin()], &up_[r.begin()], r.size()); });
  Apply(layer.down, gate_, count, added_);
  AddRow(hidden_.data(), added_.data(), count * config_.width);
}

void CpuEngine::Run(std::span<const uint32_t> tokens, uint64_t position) {
  const uint64_t count = tokens.size(), width = config_.width;
  // Of the embedding, which may be quantized too, only the rows of these tokens are decoded.
  for (uint64_t t = 0; t < count; ++t) weights_.embedding.DecodeRow(tokens[t], {&hidden_[t * width], width});
  for (uint64_t i = 0; i < config_.layers; ++i) {
    RunAttention(weights_.layers[i], caches_[i], position, count);
    RunMlp(weights_.layers[i], count);
  }
  Norm(hidden_, weights_.norm, count, config_.epsilon, normed_);
}

void CpuEngine::Project(uint64_t first, uint64_t count) {
  logits_.resize(count * config_.vocabulary);
  weights_.head.weight.Multiply(precision_, &normed_[first * config_.width], count, logits_.data());
  const std::vector<float>& bias = weights_.head.bias;
  for (uint64_t t = 0; t < count && !bias.empty(); ++t) AddRow(&logits_[t * bias.size()], bias.data(), bias.size());
}

std::vector<double> CpuEngine::Losses(uint64_t row, std::span<const uint32_t> targets) {
  std::vector<double> losses(targets.size());
  tbb::parallel_for(uint64_t{0}, uint64_t{targets.size()}, [&](uint64_t i) {
    const float* logits = &logits_[(row + i) * config_.vocabulary];
    losses[i] = LogSumExp(logits, config_.vocabulary) - static_cast<double>(logits[targets[i]]);
  });
  return losses;
}

}  // namespace llama

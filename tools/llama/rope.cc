#include "tools/llama/rope.h"

#include <algorithm>
#include <cmath>

namespace llama {
namespace {

// Llama 3.1: slow pairs, which did not finish a turn in the original context, are slowed down by `factor`; fast ones
// stay; those between are mixed.
float ScaleLlama3(float frequency, const RopeConfig& rope) {
  const auto factor = static_cast<float>(rope.factor);
  const float wavelength = static_cast<float>(2 * M_PI) / frequency;
  if (wavelength > static_cast<float>(rope.original_context / rope.low_freq_factor)) return frequency / factor;
  if (wavelength < static_cast<float>(rope.original_context / rope.high_freq_factor)) return frequency;
  const float turns = static_cast<float>(rope.original_context) / wavelength;
  const float smooth = (turns - static_cast<float>(rope.low_freq_factor)) /
                       static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

// YaRN: the same idea with a ramp over the pairs, whose bounds are the pairs that make beta_fast and beta_slow turns in
// the original context.
float ScaleYarn(float frequency, uint64_t pair, uint64_t head_dim, const RopeConfig& rope) {
  const auto dim = static_cast<double>(head_dim);
  const auto pair_with_turns = [&](double turns) {
    return dim * std::log(rope.original_context / (turns * 2 * M_PI)) / (2 * std::log(rope.theta));
  };
  double low = pair_with_turns(rope.beta_fast), high = pair_with_turns(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  const auto ramp = static_cast<float>(std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0));
  return frequency / static_cast<float>(rope.factor) * ramp + frequency * (1 - ramp);
}

}  // namespace

std::vector<float> RopeFrequencies(const RopeConfig& rope, uint64_t head_dim, std::span<const float> divisors) {
  std::vector<float> frequencies(head_dim / 2);
  for (uint64_t pair = 0; pair < frequencies.size(); ++pair) {
    const float exponent = static_cast<float>(2 * pair) / static_cast<float>(head_dim);
    float frequency = 1.0f / std::pow(static_cast<float>(rope.theta), exponent);
    if (rope.type == "linear") frequency /= static_cast<float>(rope.factor);
    if (rope.type == "llama3") frequency = ScaleLlama3(frequency, rope);
    if (rope.type == "yarn") frequency = ScaleYarn(frequency, pair, head_dim, rope);
    if (!divisors.empty()) frequency /= divisors[pair];
    frequencies[pair] = frequency;
  }
  return frequencies;
}

Rope::Rope(const Config& config, std::span<const float> divisors, uint64_t capacity)
    : pairs_(config.head_dim / 2), neighbours_(config.layout == Layout::kGguf) {
  const std::vector<float> frequencies = RopeFrequencies(config.rope, config.head_dim, divisors);
  const float scale = config.rope.type == "yarn" ? static_cast<float>(config.rope.attention_factor) : 1.0f;
  cosines_.reserve(capacity * pairs_);
  sines_.reserve(capacity * pairs_);
  for (uint64_t position = 0; position < capacity; ++position) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      cosines_.push_back(std::cos(angle) * scale);
      sines_.push_back(std::sin(angle) * scale);
    }
  }
}

void Rope::Turn(float* head, uint64_t position) const {
  const float* cosines = &cosines_[position * pairs_];
  const float* sines = &sines_[position * pairs_];
  const uint64_t step = neighbours_ ? 2 : 1, apart = neighbours_ ? 1 : pairs_;
  for (uint64_t pair = 0; pair < pairs_; ++pair) {
    float& a = head[pair * step];
    float& b = head[pair * step + apart];
    const float turned = a * cosines[pair] - b * sines[pair];
    b = b * cosines[pair] + a * sines[pair];
    a = turned;
  }
}

}  // namespace llama

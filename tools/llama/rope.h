// The rotary embedding: pairs of values of a head are turned by angles that grow with the position, slower from pair to
// pair. The angles are the transformers library's, operation by operation in f32: far from position 0 a frequency
// that is off by one unit in its last place is a different angle.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tools/llama/config.h"

namespace llama {

// Radians per position, for each pair of a head. `divisors` are GGUF's rope_freqs.weight, or empty.
std::vector<float> RopeFrequencies(const RopeConfig& rope, uint64_t head_dim, std::span<const float> divisors);

// Cosines and sines of all positions below `capacity`. Immutable; thread-safe.
class Rope {
 public:
  Rope(const Config& config, std::span<const float> divisors, uint64_t capacity);

  // Turns the pairs of one head, in place.
  void Turn(float* head, uint64_t position) const;

  // [position][pair].
  std::span<const float> cosines() const { return cosines_; }
  std::span<const float> sines() const { return sines_; }

 private:
  uint64_t pairs_;
  bool neighbours_;  // which values are a pair: i and i + pairs, or 2 i and 2 i + 1
  std::vector<float> cosines_, sines_;
};

}  // namespace llama

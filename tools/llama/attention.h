// Attention with a cache of keys and values, several query heads sharing one head of these.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/llama/config.h"

namespace llama {

// The keys and values of all positions so far, of one layer. Both are laid out for the loop that reads them
// (attention.cc), in blocks of kBlock positions. In a block of keys the positions of one element follow each other; in
// a block of values the elements of one position do, kBlock of them: [padded_dim / kBlock][kBlock positions][kBlock
// elements]. Padding is zero.
class KvCache {
 public:
  static constexpr uint64_t kBlock = 32;

  KvCache(const Config& config, uint64_t capacity);
  // Stores `count` positions from `position` on; keys and values are [count][kv_heads * head_dim].
  void Store(uint64_t position, uint64_t count, const float* keys, const float* values);

  uint64_t head_dim() const { return head_dim_; }
  uint64_t padded_dim() const { return padded_dim_; }
  // [head_dim][kBlock], of the positions from block * kBlock on.
  const float* keys(uint64_t kv_head, uint64_t block) const {
    return &keys_[(kv_head * blocks_ + block) * head_dim_ * kBlock];
  }
  // [padded_dim / kBlock][kBlock][kBlock], of the same positions.
  const float* values(uint64_t kv_head, uint64_t block) const {
    return &values_[(kv_head * blocks_ + block) * padded_dim_ * kBlock];
  }

 private:
  uint64_t kv_heads_, head_dim_, padded_dim_, blocks_;
  std::vector<float> keys_, values_;
};

// out = softmax(q K^T / sqrt(head_dim)) V for `count` queries of consecutive positions, the first at `position`; each
// sees the positions up to its own (and no more than config.window of them). The keys and values of all of these are
// stored already. q and out are [count][heads * head_dim]; q is overwritten.
void Attend(const Config& config, const KvCache& cache, uint64_t position, uint64_t count, float* q, float* out);

}  // namespace llama

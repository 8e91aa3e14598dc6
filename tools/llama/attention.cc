#include "tools/llama/attention.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>

#include "tools/llama/simd.h"

namespace llama {
namespace {

constexpr uint64_t kBlock = KvCache::kBlock;
constexpr uint64_t kQueries = 4;  // that go over keys and values together, so that each is loaded once for all of them

uint64_t RoundUp(uint64_t value) { return (value + kBlock - 1) / kBlock * kBlock; }

// sums[t][j] = sum over i of a[t][i] * b[i][j], with b's rows `b_stride` apart: queries times keys, and probabilities
// times values. Most of the time of an attention goes here. The sums are independent of each other, so the compiler may
// use vectors without changing the order in which any of them is added up.
template <uint64_t kRows>
LLAMA_INLINE void Multiply(const float* a, uint64_t a_stride, const float* b, uint64_t b_stride, uint64_t n,
                           float (&sums)[kRows][kBlock]) {
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t t = 0; t < kRows; ++t) {
      for (uint64_t j = 0; j < kBlock; ++j) sums[t][j] += a[t * a_stride + i] * b[i * b_stride + j];
    }
  }
}

// Scores to probabilities, in place, over [first, last); zero in the rest of [0, size).
LLAMA_INLINE void Softmax(float* scores, uint64_t first, uint64_t last, uint64_t size) {
  const float largest = *std::max_element(scores + first, scores + last);
  std::fill(scores, scores + first, 0.0f);
  std::fill(scores + last, scores + size, 0.0f);
  for (uint64_t i = first; i < last; ++i) scores[i] = Exp(scores[i] - largest);
  float lanes[kBlock] = {};
  for (uint64_t i = 0; i < size; i += kBlock) {
    for (uint64_t j = 0; j < kBlock; ++j) lanes[j] += scores[i + j];
  }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  const float scale = 1 / sum;
  for (uint64_t i = first; i < last; ++i) scores[i] *= scale;
}

// kRows queries of one head, of the positions from `position` on. q and out: rows `stride` apart.
template <uint64_t kRows>
LLAMA_INLINE void AttendRows(const KvCache& cache, uint64_t kv_head, uint64_t window, uint64_t position, const float* q,
                             float* out, uint64_t stride, std::vector<float>& scores) {
  const uint64_t end = position + kRows;  // the last query sees itself
  const uint64_t begin = window != 0 && position >= window ? (position - window + 1) / kBlock * kBlock : 0;
  const uint64_t size = RoundUp(end - begin);
  scores.resize(kRows * size);
  for (uint64_t at = 0; at < size; at += kBlock) {
    float sums[kRows][kBlock] = {};
    Multiply<kRows>(q, stride, cache.keys(kv_head, (begin + at) / kBlock), kBlock, cache.head_dim(), sums);
    for (uint64_t t = 0; t < kRows; ++t) std::copy_n(sums[t], kBlock, &scores[t * size + at]);
  }
  for (uint64_t t = 0; t < kRows; ++t) {
    const uint64_t self = position + t;
    const uint64_t first = window != 0 && self >= window ? self - window + 1 : 0;
    Softmax(&scores[t * size], first - begin, self + 1 - begin, size);
  }
  for (uint64_t d = 0; d < cache.padded_dim(); d += kBlock) {
    float sums[kRows][kBlock] = {};
    Multiply<kRows>(scores.data(), size, cache.values(kv_head, begin) + d, cache.padded_dim(), end - begin, sums);
    const uint64_t width = std::min(kBlock, cache.head_dim() - d);
    for (uint64_t t = 0; t < kRows; ++t) std::copy_n(sums[t], width, out + t * stride + d);
  }
}

LLAMA_CLONES void AttendFour(const KvCache& cache, uint64_t kv_head, uint64_t window, uint64_t position, const float* q,
                             float* out, uint64_t stride, std::vector<float>& scores) {
  AttendRows<kQueries>(cache, kv_head, window, position, q, out, stride, scores);
}
LLAMA_CLONES void AttendOne(const KvCache& cache, uint64_t kv_head, uint64_t window, uint64_t position, const float* q,
                            float* out, uint64_t stride, std::vector<float>& scores) {
  AttendRows<1>(cache, kv_head, window, position, q, out, stride, scores);
}

}  // namespace

KvCache::KvCache(const Config& config, uint64_t capacity)
    : kv_heads_(config.kv_heads),
      head_dim_(config.head_dim),
      padded_dim_(RoundUp(config.head_dim)),
      blocks_((capacity + kBlock - 1) / kBlock),
      keys_(kv_heads_ * blocks_ * kBlock * head_dim_),
      values_(kv_heads_ * blocks_ * kBlock * padded_dim_) {}

void KvCache::Store(uint64_t position, uint64_t count, const float* keys, const float* values) {
  for (uint64_t t = 0; t < count; ++t) {
    for (uint64_t head = 0; head < kv_heads_; ++head) {
      const uint64_t at = position + t, from = (t * kv_heads_ + head) * head_dim_;
      float* block = &keys_[(head * blocks_ + at / kBlock) * head_dim_ * kBlock];
      for (uint64_t d = 0; d < head_dim_; ++d) block[d * kBlock + at % kBlock] = keys[from + d];
      std::copy_n(values + from, head_dim_, &values_[(head * blocks_ * kBlock + at) * padded_dim_]);
    }
  }
}

void Attend(const Config& config, const KvCache& cache, uint64_t position, uint64_t count, float* q, float* out) {
  const uint64_t stride = config.heads * config.head_dim;
  const float scale = 1 / std::sqrt(static_cast<float>(config.head_dim));
  for (uint64_t i = 0; i < count * stride; ++i) q[i] *= scale;
  const uint64_t groups = (count + kQueries - 1) / kQueries;
  tbb::parallel_for(tbb::blocked_range<uint64_t>(0, config.heads * groups), [&](const auto& range) {
    std::vector<float> scores;
    for (uint64_t i = range.begin(); i < range.end(); ++i) {
      const uint64_t head = i / groups, first = i % groups * kQueries, last = std::min(first + kQueries, count);
      // Consecutive query heads share a head of keys and values.
      const uint64_t kv_head = head / (config.heads / config.kv_heads);
      const uint64_t at = first * stride + head * config.head_dim;
      if (last - first == kQueries) {
        AttendFour(cache, kv_head, config.window, position + first, q + at, out + at, stride, scores);
        continue;
      }
      for (uint64_t t = first; t < last; ++t) {
        AttendOne(cache, kv_head, config.window, position + t, q + t * stride + head * config.head_dim,
                  out + t * stride + head * config.head_dim, stride, scores);
      }
    }
  });
}

}  // namespace llama

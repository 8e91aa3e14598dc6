#include "tools/llama/attention.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>

#include "tools/llama/simd.h"

namespace llama {
namespace {

constexpr uint64_t kBlock = KvCache::kBlock;
// That go over the keys and values together, block by block, so that each block comes into the cache once for them all.
constexpr uint64_t kQueries = 8;

uint64_t RoundUp(uint64_t value) { return (value + kBlock - 1) / kBlock * kBlock; }

// sums[j] += sum over i of a[i] * b[i][j]: a query times keys, probabilities times
// values. Most of the time of an attention goes here. The sums are independent of each other, so the compiler may use
// vectors without changing the order in which any of them is added up. As a function of its own, with a fixed distance
// of the rows and the sums in a local array, compilers keep them in registers.
LLAMA_CLONES void AddProduct(const float* a, const float* b, uint64_t n, float* sums) {
  float local[kBlock] = {};
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = 0; j < kBlock; ++j) local[j] += a[i] * b[i * kBlock + j];
  }
  for (uint64_t j = 0; j < kBlock; ++j) sums[j] += local[j];
}

// Scores to probabilities, in place, over [first, last); zero in the rest of [0, size).
LLAMA_CLONES void Softmax(float* scores, uint64_t first, uint64_t last, uint64_t size) {
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

// Queries of one head, at consecutive positions; q and out have one every `stride` elements.
struct Queries {
  uint64_t kv_head, window, position, count, stride;
  const float* q;
  float* out;
};

// `scratch` holds what a thread needs between its calls.
void AttendHead(const KvCache& cache, const Queries& queries, std::vector<float>& scratch) {
  const uint64_t end = queries.position + queries.count;  // the last query sees itself
  const uint64_t oldest = queries.window != 0 && queries.position >= queries.window
                              ? queries.position - queries.window + 1
                              : 0;  // that the first query sees
  const uint64_t begin = oldest / kBlock * kBlock, size = RoundUp(end - begin);
  const uint64_t dim = cache.head_dim(), padded = cache.padded_dim();
  scratch.assign(queries.count * (size + padded), 0.0f);
  float* scores = scratch.data();                       // [count][size]
  float* sums = scratch.data() + queries.count * size;  // [count][padded]
  for (uint64_t at = 0; at < size; at += kBlock) {
    const float* keys = cache.keys(queries.kv_head, (begin + at) / kBlock);
    for (uint64_t t = 0; t < queries.count; ++t)
      AddProduct(queries.q + t * queries.stride, keys, dim, scores + t * size + at);
  }
  for (uint64_t t = 0; t < queries.count; ++t) {
    const uint64_t self = queries.position + t;
    const uint64_t first = queries.window != 0 && self >= queries.window ? self - queries.window + 1 : 0;
    Softmax(scores + t * size, first - begin, self + 1 - begin, size);
  }
  for (uint64_t at = 0; at < size; at += kBlock) {
    const float* values = cache.values(queries.kv_head, (begin + at) / kBlock);
    const uint64_t n = std::min(kBlock, end - begin - at);
    for (uint64_t t = 0; t < queries.count; ++t) {
      for (uint64_t d = 0; d < padded; d += kBlock)
        AddProduct(scores + t * size + at, values + d * kBlock, n, sums + t * padded + d);
    }
  }
  for (uint64_t t = 0; t < queries.count; ++t) std::copy_n(sums + t * padded, dim, queries.out + t * queries.stride);
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
      float* tiles = &values_[(head * blocks_ + at / kBlock) * padded_dim_ * kBlock + at % kBlock * kBlock];
      for (uint64_t d = 0; d < head_dim_; ++d) tiles[d / kBlock * kBlock * kBlock + d % kBlock] = values[from + d];
    }
  }
}

void Attend(const Config& config, const KvCache& cache, uint64_t position, uint64_t count, float* q, float* out) {
  const uint64_t stride = config.heads * config.head_dim;
  const float scale = 1 / std::sqrt(static_cast<float>(config.head_dim));
  for (uint64_t i = 0; i < count * stride; ++i) q[i] *= scale;
  const uint64_t groups = (count + kQueries - 1) / kQueries;
  tbb::parallel_for(tbb::blocked_range<uint64_t>(0, config.heads * groups), [&](const auto& range) {
    std::vector<float> scratch;
    for (uint64_t i = range.begin(); i < range.end(); ++i) {
      const uint64_t head = i / groups, first = i % groups * kQueries;
      const uint64_t at = first * stride + head * config.head_dim;
      // Consecutive query heads share a head of keys and values.
      const Queries queries = {head / (config.heads / config.kv_heads),
                               config.window,
                               position + first,
                               std::min(kQueries, count - first),
                               stride,
                               q + at,
                               out + at};
      AttendHead(cache, queries, scratch);
    }
  });
}

}  // namespace llama

// Attention with a cache of keys and values, several query heads sharing one head of these. Scores are never stored:
// each block goes over its share of the positions once, and keeps the largest score so far and sums that are relative
// to it.
#pragma once

#include "tools/llama/cuda/half.cuh"

namespace llama::gpu {

static_assert(kAttendRows == kWarps, "Attend: a warp for each row");
inline constexpr uint32_t kTile = kWarp;  // positions that a block has in shared memory at a time

template <class Value>
INGOT_KERNEL(kThreads, 4)
TurnAndStore(const TurnParams p) {
  const uint64_t token = BlockIndex(), position = p.position + token;
  const uint32_t pairs = p.dim / 2, step = p.neighbours != 0 ? 2 : 1, apart = p.neighbours != 0 ? 1 : pairs;
  const float* const cosines = p.cosines + position * pairs;
  const float* const sines = p.sines + position * pairs;
  for (uint32_t i = ThreadIndex(); i < p.heads * pairs; i += kThreads) {
    const uint32_t pair = i % pairs;
    const uint64_t at = (token * p.heads + i / pairs) * p.dim + pair * step;
    const float a = LoadF32(p.q + at), b = LoadF32(p.q + at + apart);
    const float c = LoadF32(cosines + pair), s = LoadF32(sines + pair);
    StoreF32(p.turned + at, (a * c - b * s) * p.scale);
    StoreF32(p.turned + at + apart, (b * c + a * s) * p.scale);
  }
  for (uint32_t i = ThreadIndex(); i < p.kv_heads * pairs; i += kThreads) {
    const uint32_t pair = i % pairs, head = i / pairs;
    const uint64_t at = (token * p.kv_heads + head) * p.dim + pair * step;
    const uint64_t to = (head * p.capacity + position) * p.dim + pair * step;
    const float a = LoadF32(p.k + at), b = LoadF32(p.k + at + apart);
    const float c = LoadF32(cosines + pair), s = LoadF32(sines + pair);
    StoreGlobal(static_cast<uint16_t*>(p.keys) + to, Value::Round(a * c - b * s));
    StoreGlobal(static_cast<uint16_t*>(p.keys) + to + apart, Value::Round(b * c + a * s));
    StoreGlobal(static_cast<uint16_t*>(p.values) + to, Value::Round(LoadF32(p.v + at)));
    StoreGlobal(static_cast<uint16_t*>(p.values) + to + apart, Value::Round(LoadF32(p.v + at + apart)));
  }
}

// Copies a tile of a head of the cache, rows of `words` pairs of values, `stride` words apart. Zeros after `end`.
INGOT_DEVICE void LoadTile(const void* cache, uint64_t first, uint64_t end, uint32_t words, uint32_t stride,
                           uint32_t* tile) {
  for (uint32_t j = ThreadIndex() / kWarp; j < kTile; j += kWarps) {
    const uint32_t* const row = static_cast<const uint32_t*>(cache) + (first + j) * words;
    for (uint32_t w = ThreadIndex() % kWarp; w < words; w += kWarp)
      StoreShared(tile + j * stride + w, first + j < end ? LoadGlobal<uint32_t>(row + w) : 0u);
  }
}

// What a warp has of its row so far. Each lane holds every 32nd pair of sums.
struct RowSums {
  static constexpr uint32_t kPairs = kMostDim / 2 / kWarp;
  float largest, total;
  float low[kPairs], high[kPairs];
};

// Adds a tile: the lane's score is that of position `lane`.
template <class Value>
INGOT_DEVICE void AddTile(float score, const uint32_t* values, uint32_t words, RowSums& sums) {
  const float largest = fmaxf(sums.largest, ReduceWarp(score, Largest()));
  if (largest == LowestF32()) return;  // none is seen; so it is for the whole warp
  const float before = expf(sums.largest - largest), weight = expf(score - largest);
  sums.largest = largest;
  sums.total = MultiplyAdd(sums.total, before, ReduceWarp(weight, Sum()));
  INGOT_UNROLL
  for (uint32_t i = 0; i < RowSums::kPairs; ++i) sums.low[i] *= before, sums.high[i] *= before;
  for (uint32_t j = 0; j < kTile; ++j) {
    const float of_j = AsFloat(Shuffle(AsBits(weight), j));
    INGOT_UNROLL
    for (uint32_t i = 0; i < RowSums::kPairs; ++i) {
      const uint32_t w = ThreadIndex() % kWarp + i * kWarp;
      if (w >= words) break;
      const uint32_t pair = LoadShared(values + j * words + w);
      sums.low[i] = MultiplyAdd(of_j, Value::Low(pair), sums.low[i]);
      sums.high[i] = MultiplyAdd(of_j, Value::High(pair), sums.high[i]);
    }
  }
}

template <class Value>
INGOT_KERNEL(kThreads, 2)
Attend(const AttendParams p) {
  INGOT_SHARED(float, queries, kAttendRows* kMostDim);
  INGOT_SHARED(uint32_t, keys, kTile * (kMostDim / 2 + 1));
  INGOT_SHARED(uint32_t, values, kTile * kMostDim / 2);
  const uint32_t sharing = p.heads / p.kv_heads, lane = ThreadIndex() % kWarp;
  const uint64_t rows = p.tokens * sharing, row_blocks = (rows + kAttendRows - 1) / kAttendRows;
  const uint32_t split = BlockIndex() % p.splits;
  const uint64_t first_row = BlockIndex() / p.splits % row_blocks * kAttendRows;
  const uint64_t kv_head = BlockIndex() / p.splits / row_blocks;
  const uint64_t last_row = first_row + kAttendRows < rows ? first_row + kAttendRows - 1 : rows - 1;
  const auto oldest = [&](uint64_t position) {  // that a token there sees
    return p.window != 0 && position >= p.window ? position - p.window + 1 : 0;
  };
  // The row of this warp, and the positions that the rows of the block see.
  const uint64_t row = first_row + ThreadIndex() / kWarp;
  const bool there = row < rows;
  const uint64_t self = p.position + row / sharing;
  const uint64_t out_row = row / sharing * p.heads + kv_head * sharing + row % sharing;
  const uint64_t begin = oldest(p.position + first_row / sharing), end = p.position + last_row / sharing + 1;
  const uint64_t tiles = (end - begin + kTile - 1) / kTile;

  // Rows of keys are an odd number of words apart: each lane reads from a bank of its own.
  const uint32_t words = p.dim / 2, stride = words | 1u;
  const uint64_t head_begin = kv_head * p.capacity;
  float* const query = queries + ThreadIndex() / kWarp * kMostDim;
  for (uint32_t d = lane; there && d < p.dim; d += kWarp) StoreShared(query + d, LoadF32(p.q + out_row * p.dim + d));

  RowSums sums = {};
  sums.largest = LowestF32();
  for (uint64_t tile = tiles * split / p.splits; tile < tiles * (split + 1) / p.splits; ++tile) {
    const uint64_t first = begin + tile * kTile;
    BlockBarrier();  // the tile before was used
    LoadTile(p.keys, head_begin + first, head_begin + end, words, stride, keys);
    LoadTile(p.values, head_begin + first, head_begin + end, words, words, values);
    BlockBarrier();
    if (!there) continue;
    float score = 0;
    for (uint32_t w = 0; w < words; ++w) {
      const uint32_t pair = LoadShared(keys + lane * stride + w);
      score = MultiplyAdd(LoadShared(query + 2 * w), Value::Low(pair), score);
      score = MultiplyAdd(LoadShared(query + 2 * w + 1), Value::High(pair), score);
    }
    const uint64_t position = first + lane;
    AddTile<Value>(position <= self && position >= oldest(self) ? score : LowestF32(), values, words, sums);
  }
  if (!there) return;
  const uint64_t out = split * p.tokens * p.heads + out_row;
  INGOT_UNROLL
  for (uint32_t i = 0; i < RowSums::kPairs; ++i) {
    const uint32_t w = lane + i * kWarp;
    if (w >= words) break;
    StoreF32(p.sums + out * p.dim + 2 * w, sums.low[i]);
    StoreF32(p.sums + out * p.dim + 2 * w + 1, sums.high[i]);
  }
  if (lane == 0) StoreF32(p.totals + 2 * out, sums.largest);
  if (lane == 0) StoreF32(p.totals + 2 * out + 1, sums.total);
}

template <class Value>
INGOT_KERNEL(kThreads, 4)
CombineAttention(const CombineParams p) {
  const uint64_t row = static_cast<uint64_t>(BlockIndex()) * kWarps + ThreadIndex() / kWarp;
  if (row >= p.rows) return;
  const auto largest_of = [&](uint32_t split) { return LoadF32(p.totals + 2 * (split * p.rows + row)); };
  float largest = LowestF32(), total = 0;
  for (uint32_t split = 0; split < p.splits; ++split) largest = fmaxf(largest, largest_of(split));
  for (uint32_t split = 0; split < p.splits; ++split)
    total = MultiplyAdd(LoadF32(p.totals + 2 * (split * p.rows + row) + 1), expf(largest_of(split) - largest), total);
  for (uint32_t d = ThreadIndex() % kWarp; d < p.dim; d += kWarp) {
    float sum = 0;
    for (uint32_t split = 0; split < p.splits; ++split) {
      const float of_split = LoadF32(p.sums + (split * p.rows + row) * p.dim + d);
      sum = MultiplyAdd(of_split, expf(largest_of(split) - largest), sum);
    }
    StoreGlobal(static_cast<uint16_t*>(p.out) + row * p.dim + d, Value::Round(sum / total));
  }
}

}  // namespace llama::gpu

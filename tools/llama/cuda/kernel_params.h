// The engine's own kernels for GPUs, as the host sees them: what each is given, and where they are. Products with
// weights are the library's; these are what stands between them. Hidden states and sums are f32, what goes into
// products and into the cache of keys and values has 16 bits.
#pragma once

#include <cstdint>

namespace llama::gpu {

inline constexpr uint32_t kThreads = 256;  // of a block, of all kernels
inline constexpr uint32_t kMostDim = 256;  // values of a head that Attend has room for

// Of values with 16 bits.
enum class Half { kF16, kBF16 };

// out = x / sqrt(mean of x^2 + epsilon) * weight, rounded. A block for each row.
struct NormParams {
  const float *x, *weight;
  void* out;
  uint64_t width;
  float epsilon;
};

// to[i] += from[i % period]. A thread for each value: kThreads a block.
struct AddParams {
  float* to;
  const float* from;
  uint64_t count, period;
};

// out = silu(gate) * up, rounded. A thread for each value.
struct SwiGluParams {
  const float *gate, *up;
  void* out;
  uint64_t count;
};

// Turns the pairs of q and k by the position, stores q times `scale` and, rounded, k and v in the cache. A block for
// each token.
struct TurnParams {
  const float *q, *k, *v;         // [tokens][heads or kv_heads][dim]
  const float *cosines, *sines;   // [position][dim / 2]
  float* turned;                  // q
  void *keys, *values;            // the cache: [kv_heads][capacity][dim]
  uint32_t heads, kv_heads, dim;  // dim is even
  uint32_t neighbours;            // which values are a pair: 2 i and 2 i + 1, or i and i + dim / 2
  uint64_t capacity, position;    // of the first token
  float scale;
};

// Attention in pieces: kAttendRows rows (a token and a head that share keys and values) and a share of the positions
// for each block; CombineAttention puts the shares together. Blocks: kv_heads * AttendRowBlocks * splits.
inline constexpr uint32_t kAttendRows = 8;
struct AttendParams {
  const float* q;             // [tokens][heads][dim], turned and scaled
  const void *keys, *values;  // the cache, 4-byte aligned
  float* sums;                // [splits][tokens * heads][dim]: of e^(score - largest) value
  float* totals;              // [splits][tokens * heads][2]: largest score, sum of e^(score - largest)
  uint32_t heads, kv_heads, dim;
  uint32_t splits;
  uint64_t capacity, position, tokens;
  uint64_t window;  // a token sees itself and window - 1 tokens before it; 0: all
};
inline constexpr uint64_t AttendRowBlocks(uint64_t tokens, uint64_t heads, uint64_t kv_heads) {
  return (tokens * (heads / kv_heads) + kAttendRows - 1) / kAttendRows;
}

// Weighted by their totals, and rounded. A warp for each row of `dim` values.
struct CombineParams {
  const float *sums, *totals;
  void* out;  // [rows][dim]
  uint64_t rows;
  uint32_t dim, splits;
};

// losses[i] = ln of the sum of e^x - x[targets[i]] over row i. A block for each row.
struct LossParams {
  const float* logits;
  const uint32_t* targets;
  float* losses;
  uint64_t vocabulary;
};

// The addresses of the kernels, for one kind of 16 bits.
struct Kernels {
  void (*norm)(NormParams);
  void (*add)(AddParams);
  void (*swiglu)(SwiGluParams);
  void (*turn)(TurnParams);
  void (*attend)(AttendParams);
  void (*combine)(CombineParams);
  void (*losses)(LossParams);
};
const Kernels& KernelsFor(Half half);

}  // namespace llama::gpu

// Loops over rows of activations: norms, biases, SwiGLU, losses.
#pragma once

#include "tools/llama/cuda/half.cuh"

namespace llama::gpu {

template <class Value>
INGOT_KERNEL(kThreads, 4)
Norm(const NormParams p) {
  const float* const x = p.x + BlockIndex() * p.width;
  float squares = 0;
  for (uint64_t i = ThreadIndex(); i < p.width; i += kThreads) {
    const float value = LoadF32(x + i);
    squares = MultiplyAdd(value, value, squares);
  }
  const float mean = ReduceBlock(squares, Sum()) / static_cast<float>(p.width);
  const float scale = 1.0f / sqrtf(mean + p.epsilon);
  uint16_t* const out = static_cast<uint16_t*>(p.out) + BlockIndex() * p.width;
  for (uint64_t i = ThreadIndex(); i < p.width; i += kThreads)
    StoreGlobal(out + i, Value::Round(LoadF32(x + i) * scale * LoadF32(p.weight + i)));
}

INGOT_DEVICE uint64_t ThreadOfGrid() { return static_cast<uint64_t>(BlockIndex()) * kThreads + ThreadIndex(); }

INGOT_KERNEL(kThreads, 4) AddRows(const AddParams p) {
  const uint64_t i = ThreadOfGrid();
  if (i >= p.count) return;
  StoreF32(p.to + i, Add(p.to[i], LoadF32(p.from + i % p.period)));
}

template <class Value>
INGOT_KERNEL(kThreads, 4)
SwiGlu(const SwiGluParams p) {
  const uint64_t i = ThreadOfGrid();
  if (i >= p.count) return;
  const float gate = LoadF32(p.gate + i);
  StoreGlobal(static_cast<uint16_t*>(p.out) + i, Value::Round(gate / (1.0f + expf(-gate)) * LoadF32(p.up + i)));
}

INGOT_KERNEL(kThreads, 4) Losses(const LossParams p) {
  const float* const logits = p.logits + BlockIndex() * p.vocabulary;
  float largest = LowestF32();
  for (uint64_t i = ThreadIndex(); i < p.vocabulary; i += kThreads) largest = fmaxf(largest, LoadF32(logits + i));
  largest = ReduceBlock(largest, Largest());  // taken out, so that nothing overflows
  float sum = 0;
  for (uint64_t i = ThreadIndex(); i < p.vocabulary; i += kThreads) sum = Add(sum, expf(LoadF32(logits + i) - largest));
  sum = ReduceBlock(sum, Sum());
  if (ThreadIndex() != 0) return;
  const float target = LoadF32(logits + LoadGlobal<uint32_t>(p.targets + BlockIndex()));
  StoreF32(p.losses + BlockIndex(), (largest - target) + logf(sum));
}

}  // namespace llama::gpu

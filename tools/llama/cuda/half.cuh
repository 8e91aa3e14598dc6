// Values with 16 bits, and what a block does together.
#pragma once

#include <cmath>

#include "kernels/cuda/primitives.cuh"
#include "tools/llama/cuda/kernel_params.h"

namespace llama::gpu {

using namespace ingot::cuda;  // NOLINT: the primitives that kernels are written with

inline constexpr uint32_t kWarps = kThreads / kWarp;

struct F16Value {
  INGOT_DEVICE static uint16_t Round(float value) { return F32AsF16(value); }
  INGOT_DEVICE static float Low(uint32_t pair) { return F16AsF32(static_cast<uint16_t>(pair)); }
  INGOT_DEVICE static float High(uint32_t pair) { return F16AsF32(static_cast<uint16_t>(pair >> 16)); }
};
struct BF16Value {
  INGOT_DEVICE static uint16_t Round(float value) { return F32AsBF16(value); }
  INGOT_DEVICE static float Low(uint32_t pair) { return AsFloat(pair << 16); }
  INGOT_DEVICE static float High(uint32_t pair) { return AsFloat(pair & 0xFFFF0000u); }
};

INGOT_DEVICE float LoadF32(const float* at) { return AsFloat(LoadGlobal<uint32_t>(at)); }
INGOT_DEVICE void StoreF32(float* at, float value) { StoreGlobal(at, AsBits(value)); }

INGOT_DEVICE float LowestF32() { return AsFloat(0xFF800000u); }  // minus infinity

struct Sum {
  INGOT_DEVICE float operator()(float a, float b) const { return Add(a, b); }
};
struct Largest {
  INGOT_DEVICE float operator()(float a, float b) const { return fmaxf(a, b); }  // the one that is a number
};

// Over the lanes of a warp; the same in each of them.
template <class Op>
INGOT_DEVICE float ReduceWarp(float value, Op op) {
  INGOT_UNROLL
  for (uint32_t distance = kWarp / 2; distance > 0; distance /= 2)
    value = op(value, AsFloat(ShuffleXor(AsBits(value), distance)));
  return value;
}

// Over the threads of a block; the same in each of them.
template <class Op>
INGOT_DEVICE float ReduceBlock(float value, Op op) {
  INGOT_SHARED(float, of_warps, kWarps);
  value = ReduceWarp(value, op);
  BlockBarrier();  // for those who still read what a call before has left
  if (ThreadIndex() % kWarp == 0) StoreShared(of_warps + ThreadIndex() / kWarp, value);
  BlockBarrier();
  float all = LoadShared(of_warps);
  for (uint32_t i = 1; i < kWarps; ++i) all = op(all, LoadShared(of_warps + i));
  return all;
}

}  // namespace llama::gpu

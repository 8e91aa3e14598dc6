// The kernels of yardsticks.
#pragma once

#include "kernels/cuda/tensor.cuh"
#include "tools/bench/cuda/kernels.h"

namespace ingot::bench {

using namespace ingot::cuda;  // NOLINT: the primitives that kernels are written with

INGOT_KERNEL(kYardstickThreads, 4) CopyWords(const CopyParams p) {
  const uint64_t at = 16 * (static_cast<uint64_t>(BlockIndex()) * kYardstickThreads + ThreadIndex());
  const Words4 words = LoadGlobal<Words4>(static_cast<const unsigned char*>(p.from) + at);
  StoreWords<0>(static_cast<unsigned char*>(p.to) + at, words);
}

INGOT_KERNEL(kYardstickThreads, 2) MultiplyTiles(const TilesParams p) {
  float sums[kTilesInRound][4] = {};
  const uint32_t one = 0x3C003C00u, lane = ThreadIndex() % 2 != 0 ? one : 0;  // products are sums of 0 and 1
  const uint32_t a[4] = {lane, one, lane, one}, b[2] = {one, lane};
  for (uint32_t round = 0; round < p.rounds; ++round) {
    INGOT_UNROLL
    for (uint32_t i = 0; i < kTilesInRound; ++i) MultiplyTilesF16(sums[i], a, b);
  }
  float sum = 0;
  INGOT_UNROLL
  for (uint32_t i = 0; i < kTilesInRound; ++i)
    sum = Add(sum, Add(Add(sums[i][0], sums[i][1]), Add(sums[i][2], sums[i][3])));
  StoreGlobal(p.out + static_cast<uint64_t>(BlockIndex()) * kYardstickThreads + ThreadIndex(), AsBits(sum));
}

CopyFunction CopyKernel() { return &CopyWords; }
TilesFunction TilesKernel() { return &MultiplyTiles; }

}  // namespace ingot::bench

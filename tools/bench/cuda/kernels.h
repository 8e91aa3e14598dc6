// The kernels of yardsticks, as the host sees them. 256 threads a block.
#pragma once

#include <cstdint>

namespace ingot::bench {

inline constexpr uint32_t kYardstickThreads = 256;

struct CopyParams {
  void* to;
  const void* from;  // 16 bytes for each thread of the grid
};
using CopyFunction = void (*)(CopyParams);
CopyFunction CopyKernel();

struct TilesParams {
  float* out;  // of each thread, so that nothing is left out
  uint32_t rounds;
};
using TilesFunction = void (*)(TilesParams);
TilesFunction TilesKernel();

// Independent products in a round: enough for the pipeline of a tensor core to be full.
inline constexpr uint32_t kTilesInRound = 8;
// Multiplications and additions; a product of tiles is 16 by 8 by 16.
inline constexpr double TileOperations(uint32_t blocks, uint32_t rounds) {
  return 2.0 * 16 * 8 * 16 * kTilesInRound * rounds * blocks * (kYardstickThreads / 32);
}

}  // namespace ingot::bench

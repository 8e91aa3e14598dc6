// The executor's half of kernels/cuda/tensor.cuh: its functions, in its order. Sums of products are made in double
// precision and rounded once for each 16 of k, which no GPU does exactly so: products are compared with a tolerance.
#pragma once

#include <cstring>

#include "tests/simt/device.h"

namespace ingot::cuda {

inline void CopyAsync16OrZeros(void* shared, const void* global, bool whole) {
  if (whole) return CopyAsync16(shared, global);
  StoreShared(static_cast<Words4*>(shared), Words4{});
}

template <int kTo, int kFrom>
inline void CopyAsync16At(void* shared, const void* global) {
  CopyAsync16(static_cast<std::byte*>(shared) + kTo, static_cast<const std::byte*>(global) + kFrom);
}

inline uint32_t PermuteWords(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i)
    result |= static_cast<uint32_t>(bytes >> (8 * (selector >> (4 * i) & 7u)) & 0xFFu) << (8 * i);
  return result;
}
// Bit 4x + 2y + z of the table of lop3 stands for bits x, y, z; 0xCA: x ? y : z.
template <uint32_t kMask>
inline uint32_t Select(uint32_t a, uint32_t rest) {
  return (a & kMask) | (rest & ~kMask);
}
template <uint32_t kMask, uint32_t kBits>
inline uint32_t MaskedWith(uint32_t a) {
  return (a & kMask) | kBits;
}

inline uint32_t BF16sMultiplyAdd(uint32_t a, uint32_t b, uint32_t c) {
  // The products and sums of the kernels are exact in f32.
  const auto one = [](uint32_t x, uint32_t y, uint32_t z) {
    return F32ToBF16(std::fma(AsFloat(x << 16), AsFloat(y << 16), AsFloat(z << 16)));
  };
  return one(a & 0xFFFFu, b & 0xFFFFu, c & 0xFFFFu) | static_cast<uint32_t>(one(a >> 16, b >> 16, c >> 16)) << 16;
}

// What the lanes of a warp bring to a product of tiles: read by each other between two meetings.
struct TileOperands {
  uint32_t a[4], b[2];
};
inline const TileOperands* MeetForTiles(const uint32_t* a, const uint32_t* b) {
  static thread_local TileOperands of_warp[32][kWarp];
  TileOperands* const mine = of_warp[ThreadIndex() / kWarp];
  std::memcpy(mine[simt::Lane()].a, a, sizeof mine->a);
  std::memcpy(mine[simt::Lane()].b, b, sizeof mine->b);
  simt::Shuffle(~0u, 0, 0);
  return mine;
}

// d += a b; `get(word, k)`: value k of a word, of 32 / kInWord bits.
template <int kInWord, class Sum, class D, class GetA, class GetB>
inline void MultiplyTiles(D* d, const uint32_t* a, const uint32_t* b, const GetA& get_a, const GetB& get_b) {
  const TileOperands* lanes = MeetForTiles(a, b);
  const unsigned g = simt::Lane() / 4, t = simt::Lane() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned high_row = i / 2, column = 2 * t + i % 2;
    Sum sum = d[i];
    for (unsigned k = 0; k < 8 * kInWord; ++k) {
      const unsigned lane = k / kInWord % 4, half = k / kInWord / 4;
      sum += static_cast<Sum>(get_a(lanes[4 * g + lane].a[high_row + 2 * half], k % kInWord)) *
             static_cast<Sum>(get_b(lanes[4 * column + lane].b[half], k % kInWord));
    }
    d[i] = static_cast<D>(sum);
  }
  simt::Shuffle(~0u, 0, 0);
}

inline void MultiplyTilesF16(float* d, const uint32_t* a, const uint32_t* b) {
  const auto get = [](uint32_t word, unsigned i) { return F16ToF32(static_cast<uint16_t>(word >> (16 * i))); };
  MultiplyTiles<2, double>(d, a, b, get, get);
}
inline void BeginTilesF16(float* d, const uint32_t* a, const uint32_t* b) {
  d[0] = d[1] = d[2] = d[3] = 0.0f;
  MultiplyTilesF16(d, a, b);
}
inline void MultiplyTilesBF16(float* d, const uint32_t* a, const uint32_t* b) {
  const auto get = [](uint32_t word, unsigned i) { return AsFloat(word >> (16 * i) << 16); };
  MultiplyTiles<2, double>(d, a, b, get, get);
}
inline void MultiplyTilesInt8(int32_t* d, const uint32_t* a, const uint32_t* b) {
  const auto get_a = [](uint32_t word, unsigned i) { return static_cast<uint8_t>(word >> (8 * i)); };
  const auto get_b = [](uint32_t word, unsigned i) { return static_cast<int8_t>(word >> (8 * i)); };
  MultiplyTiles<4, int64_t>(d, a, b, get_a, get_b);
}

}  // namespace ingot::cuda

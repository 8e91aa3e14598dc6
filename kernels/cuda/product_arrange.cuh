// What goes before products: activations in the order and the type that kernels multiply them in, their sums over
// groups, and for 8 bits their scales and the columns that are left out.
#pragma once

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/product_params.h"
#include "kernels/cuda/tensor.cuh"

namespace ingot::cuda {

// Where the arranged value of a stored column is: elements after the beginning of row n's first piece.
template <int kBits>
INGOT_DEVICE uint64_t SlotOf(uint64_t column, bool crossed, uint32_t n, uint32_t rows) {
  const auto j = static_cast<uint32_t>(column % 32);
  uint32_t lane, i;
  if constexpr (kBits == 4) lane = j / 8, i = j % 8;
  if constexpr (kBits == 8) lane = j / 8, i = j % 8;
  if constexpr (kBits < 4) lane = j % 16 / 4, i = j / 16 * 4 + j % 4;
  if (crossed && (i % 4 == 1 || i % 4 == 2)) i ^= 3;
  return ((column / 32 * rows + n) * 4 + lane) * 8 + i;
}

// x t of a logical column of the slice, t only where it is an array (a constant one is multiplied in with the scales).
INGOT_DEVICE float ScaledX(const ArrangeParams& p, uint32_t n, uint64_t of_slice) {
  const float x = LoadFloat(p.x, p.x_type, n * p.x_stride + of_slice);
  return p.matrix.t.form == kArray ? Multiply(x, LeafOperand(p.matrix.t, p.slice.column + of_slice)) : x;
}

INGOT_DEVICE float ReduceWarp(float value) {
  INGOT_UNROLL
  for (uint32_t distance = 16; distance > 0; distance /= 2)
    value = Add(value, AsFloat(ShuffleXor(AsBits(value), distance)));
  return value;
}
INGOT_DEVICE float LargestOfWarp(float value) {
  INGOT_UNROLL
  for (uint32_t distance = 16; distance > 0; distance /= 2) {
    const float other = AsFloat(ShuffleXor(AsBits(value), distance));
    value = other > value ? other : value;
  }
  return value;
}

INGOT_DEVICE float Magnitude(float value) { return AsFloat(AsBits(value) & 0x7FFFFFFFu); }

// Of columns: whether one of the activations exceeds the threshold.
INGOT_KERNEL(kProductThreads, 4) FindLargeColumns(const ArrangeParams p) {
  const uint64_t step = static_cast<uint64_t>(GridSize()) * BlockSize();
  for (uint64_t c = static_cast<uint64_t>(BlockIndex()) * BlockSize() + ThreadIndex(); c < p.slice.columns; c += step) {
    uint32_t large = 0;
    for (uint32_t n = 0; p.threshold > 0 && n < p.x_rows; ++n)
      large |= Magnitude(LoadFloat(p.x, p.x_type, n * p.x_stride + c)) > p.threshold ? 1 : 0;
    StoreGlobal(p.large + c, large);
  }
}

// The list of them, by one warp.
INGOT_KERNEL(kWarp, 1) ListLargeColumns(const ArrangeParams p) {
  const uint32_t lane = ThreadIndex();
  uint32_t count = 0;
  for (uint64_t first = 0; first < p.slice.columns; first += kWarp) {
    const uint64_t column = first + lane;
    const uint32_t large = column < p.slice.columns ? LoadGlobal<uint32_t>(p.large + column) : 0;
    uint32_t before = large;  // up to this lane
    INGOT_UNROLL
    for (uint32_t distance = 1; distance < kWarp; distance *= 2) {
      const uint32_t other = Shuffle(before, lane >= distance ? lane - distance : lane);
      before += lane >= distance ? other : 0;
    }
    if (large != 0) StoreGlobal(p.list + count + before, static_cast<uint32_t>(column));
    count += Shuffle(before, kWarp - 1);
  }
  if (lane == 0) StoreGlobal(p.list, count);
}

// The scale of each row of activations: a warp for each.
INGOT_KERNEL(kProductThreads, 4) FindScales(const ArrangeParams p) {
  const uint32_t n = BlockIndex() * kSparseRows + ThreadIndex() / kWarp;
  if (n >= p.x_rows) return;
  float most = 0;
  for (uint64_t c = ThreadIndex() % kWarp; c < p.slice.columns; c += kWarp) {
    const float x = Magnitude(ScaledX(p, n, c));
    if (LoadGlobal<uint32_t>(p.large + c) == 0 && x > most) most = x;
  }
  most = LargestOfWarp(most);
  if (ThreadIndex() % kWarp == 0) StoreGlobal(p.scales + n, AsBits(Multiply(most, 1.0f / 127.0f)));
}

INGOT_DEVICE uint8_t RoundToInt8(float x, float scale) {
  if (!(scale > 0.0f)) return 0;
  const float q = x / scale;
  const float magic = Subtract(Add(q, 12582912.0f), 12582912.0f);  // to the nearest integer
  const float most = magic > 127.0f ? 127.0f : magic < -127.0f ? -127.0f : magic;
  return static_cast<uint8_t>(static_cast<int8_t>(most));
}

// A thread for each value.
template <int kBits>
INGOT_KERNEL(kProductThreads, 4)
Arrange(const ArrangeParams p) {
  const uint64_t columns = p.arrangement == Arrangement::kF32 ? p.window.columns : p.padded_units * 64;
  const uint64_t all = columns * p.x_rows, step = static_cast<uint64_t>(GridSize()) * BlockSize();
  // Of a permuted matrix, the window has all columns, and begins with column 0.
  const uint64_t first = p.matrix.stored_column != nullptr ? 0 : p.slice.column;
  for (uint64_t i = static_cast<uint64_t>(BlockIndex()) * BlockSize() + ThreadIndex(); i < all; i += step) {
    const uint64_t at = i % columns, of_slice = first + at - p.slice.column;  // far beyond it, where before it
    const auto n = static_cast<uint32_t>(i / columns);
    const bool there = of_slice < p.slice.columns;
    const uint64_t stored = at < p.window.columns && p.matrix.stored_column != nullptr
                                ? LoadGlobal<uint32_t>(Bytes(p.matrix.stored_column, 4 * at))
                                : at;
    const float x = there ? ScaledX(p, n, of_slice) : 0.0f;
    if (p.arrangement == Arrangement::kF32) {
      StoreGlobal(static_cast<float*>(p.out) + n * columns + stored, AsBits(x));
      continue;
    }
    const uint64_t slot = SlotOf<kBits>(stored, p.crossed, p.pairs ? 2 * n : n, p.out_rows);
    if (p.arrangement == Arrangement::kInt8) {
      const bool left_out = there && LoadGlobal<uint32_t>(p.large + of_slice) != 0;
      const float scale = AsFloat(LoadGlobal<uint32_t>(p.scales + n));
      StoreGlobal(static_cast<uint8_t*>(p.out) + slot, left_out ? uint8_t{0} : RoundToInt8(x, scale));
      continue;
    }
    const bool f16 = p.arrangement == Arrangement::kF16;
    const uint16_t high = f16 ? F32AsF16(x) : F32AsBF16(x);
    StoreGlobal(static_cast<uint16_t*>(p.out) + slot, high);
    if (!p.pairs) continue;
    const float rest = Subtract(x, f16 ? F16AsF32(high) : AsFloat(static_cast<uint32_t>(high) << 16));
    StoreGlobal(static_cast<uint16_t*>(p.out) + slot + 32, f16 ? F32AsF16(rest) : F32AsBF16(rest));
  }
}

// The sums of arranged values over the columns of each group: a warp for each group and row.
template <int kBits>
INGOT_KERNEL(kProductThreads, 4)
SumGroups(const ArrangeParams p) {
  const uint64_t groups = p.window.groups, of = p.matrix.root.group_columns.divisor;
  const uint64_t step = static_cast<uint64_t>(GridSize()) * kSparseRows;
  for (uint64_t i = static_cast<uint64_t>(BlockIndex()) * kSparseRows + ThreadIndex() / kWarp; i < groups * p.out_rows;
       i += step) {
    const uint64_t group = i / p.out_rows;
    const auto n = static_cast<uint32_t>(i % p.out_rows);
    const uint64_t begin = group * of, end = begin + of < p.window.columns ? begin + of : p.window.columns;
    float sum = 0;
    for (uint64_t c = begin + ThreadIndex() % kWarp; c < end; c += kWarp) {
      const uint64_t slot = SlotOf<kBits>(c, p.crossed, n, p.out_rows);
      if (p.arrangement == Arrangement::kInt8) {
        sum = Add(sum, static_cast<float>(static_cast<int8_t>(LoadGlobal<uint8_t>(Bytes(p.out, slot)))));
      } else {
        sum = Add(sum, LoadFloat(p.out, p.arrangement == Arrangement::kF16 ? kF16 : kBF16, slot));
      }
    }
    sum = ReduceWarp(sum);
    if (ThreadIndex() % kWarp == 0) StoreGlobal(p.sums + i, AsBits(sum));
  }
}

}  // namespace ingot::cuda

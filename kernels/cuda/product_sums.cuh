// Sums of products in registers: the operands of groups that scale them, their closing at the end of a group, their way
// to memory.
#pragma once

#include "kernels/cuda/product_ways.cuh"

namespace ingot::cuda {

// ---- operands of some groups of the block's rows, in shared memory

struct alignas(8) RowOperands {
  float scale, shift;  // of the sum of codes, of the sum of activations
};

template <class Way>
INGOT_DEVICE RowOperands OperandsOf(const ProductParams& p, const Way& way, uint64_t row, uint64_t group) {
  const MatrixView& m = p.matrix;
  if (row >= p.slice.rows || group >= p.window.groups) return {0.0f, 0.0f};
  const uint64_t row_groups = Divide(p.slice.row + row, m.root.group_rows) * m.root.groups_across;
  const GroupValues g = GroupOperands(m, row_groups + p.window.group + group);
  const float t = m.t.form == kConstant ? m.t.constant : 1.0f;
  const float s = Multiply(m.root.operands[kScale].form == kAbsent ? 1.0f : g.s, t);
  const float z = Subtract(m.root.operands[kZeroPoint].form == kAbsent ? 0.0f : g.z, Way::kCentre);
  const float o = m.root.operands[kOffset].form == kAbsent ? 0.0f : Multiply(g.o, t);
  const float unit = p.half_units && group % 2 == 1 ? Multiply(way.Unit(), Way::kHighScale) : way.Unit();
  return {Multiply(s, unit), Subtract(0.0f, MultiplyAdd(s, z, o))};
}

template <uint32_t kTiles>
struct GroupChunk {
  static constexpr uint32_t kSumStride = 8 * kTiles;
  RowOperands* operands;  // [group][kOperandStride] by PlaceOfRow; zeros where there is no group or row
  float* sums;            // [group][kSumStride], of the activations
  uint32_t first = 0, end = 0;

  // Rows r and r + 8 of a warp's 16, which a lane wants both, are neighbours: one load of 16 bytes.
  static INGOT_DEVICE uint32_t PlaceOfRow(uint32_t row) { return row / 16 * 16 + row % 8 * 2 + row / 8 % 2; }

  // By all threads, between barriers. Of a row, a warp reads all groups at once: whole sectors.
  template <class Way>
  INGOT_DEVICE void Fill(const ProductParams& p, const Way& way, uint64_t block_row, uint32_t group) {
    first = group, end = group + kChunkGroups;
    for (uint32_t i = ThreadIndex(); i < kChunkGroups * kBlockRows / 2; i += kProductThreads) {
      const uint32_t of = i % kChunkGroups, pair = i / kChunkGroups, row = pair / 8 * 16 + pair % 8;
      const RowOperands low = OperandsOf(p, way, block_row + row, group + of);
      const RowOperands high = OperandsOf(p, way, block_row + row + 8, group + of);
      const Words4 both = {{AsBits(low.scale), AsBits(low.shift), AsBits(high.scale), AsBits(high.shift)}};
      StoreShared(reinterpret_cast<Words4*>(operands + of * kOperandStride + 2 * pair), both);
    }
    if (!p.shifted) return;
    for (uint32_t i = ThreadIndex(); i < kChunkGroups * kSumStride; i += kProductThreads) {
      const uint32_t n = i % kSumStride, of = group + i / kSumStride;
      const bool there = n < p.x_rows && of < p.window.groups;
      StoreShared(sums + i, there ? AsFloat(LoadGlobal<uint32_t>(p.x_sums + of * p.x_rows + n)) : 0.0f);
    }
  }
};

// ---- sums of a warp: 16 rows, 8 kTiles rows of activations; in the places of mma's results

template <class Math, uint32_t kTiles>
struct WarpSums {
  using Sum = typename Math::Sum;
  Sum part[2][kTiles][4] = {};  // of codes in the open group, by halves of units
  float total[kTiles][4] = {};

  // Adds the sums of a group (kPart 2) or of the half of a unit that is one, and begins new ones. `operands`: of the
  // group and the lane's first row; `of_x`: of the group; `shift`: with what the group's activations add. kOneRow: of
  // activations; the others' sums are left alone.
  template <class Way, int kPart, bool kOneRow>
  INGOT_DEVICE void Close(const RowOperands* operands, const float* of_x, bool shift) {
    const Words4 both = LoadShared(reinterpret_cast<const Words4*>(operands));
    const RowOperands of_row[2] = {{AsFloat(both.word[0]), AsFloat(both.word[1])},
                                   {AsFloat(both.word[2]), AsFloat(both.word[3])}};
    INGOT_UNROLL
    for (uint32_t j = 0; j < kTiles; ++j) {
      INGOT_UNROLL
      for (uint32_t i = 0; i < 4; i += kOneRow ? 2 : 1) {
        const auto low = static_cast<float>(part[0][j][i]), high = static_cast<float>(part[1][j][i]);
        const float sum = kPart == 0 ? low : kPart == 1 ? high : MultiplyAdd(high, Way::kHighScale, low);
        total[j][i] = MultiplyAdd(sum, of_row[i / 2].scale, total[j][i]);
        if (kPart != 1) part[0][j][i] = 0;
        if (kPart != 0) part[1][j][i] = 0;
      }
    }
    if (!shift) return;
    INGOT_UNROLL
    for (uint32_t j = 0; j < kTiles; ++j) {
      if constexpr (kOneRow) {
        const float x = LoadShared(of_x);
        total[j][0] = MultiplyAdd(x, of_row[0].shift, total[j][0]);
        total[j][2] = MultiplyAdd(x, of_row[1].shift, total[j][2]);
      } else {
        const Words2 x = LoadShared(reinterpret_cast<const Words2*>(of_x + 8 * j + ThreadIndex() % 4 * 2));
        INGOT_UNROLL
        for (uint32_t i = 0; i < 4; ++i)
          total[j][i] = MultiplyAdd(AsFloat(x.word[i % 2]), of_row[i / 2].shift, total[j][i]);
      }
    }
  }
};

template <uint32_t kTiles>
INGOT_DEVICE void StoreSums(const ProductParams& p, uint64_t first_row, uint32_t slice, const float (&total)[kTiles][4],
                            bool scaled) {
  const uint32_t lane = ThreadIndex() % kWarp;
  float* const out = p.out + slice * p.slice_stride;
  const auto store = [&](uint32_t n, uint64_t row, float value) {
    float* at = out + n * p.out_stride + row;
    if (p.add) value = Add(value, *at);
    StoreGlobal(at, AsBits(value));
  };
  INGOT_UNROLL
  for (uint32_t j = 0; j < kTiles; ++j) {
    INGOT_UNROLL
    for (uint32_t i = 0; i < 4; i += 2) {
      const uint64_t row = first_row + lane / 4 + 4 * i;
      const uint32_t n = 8 * j + lane % 4 * 2;
      if (row >= p.slice.rows || n >= p.x_rows) continue;
      float values[2] = {total[j][i], total[j][i + 1]};
      if (p.pairs) {
        store(n / 2, row, Add(values[0], values[1]));
        continue;
      }
      for (uint32_t k = 0; k < 2 && n + k < p.x_rows; ++k)
        store(n + k, row, scaled ? Multiply(values[k], AsFloat(LoadGlobal<uint32_t>(p.x_scales + n + k))) : values[k]);
    }
  }
}

}  // namespace ingot::cuda

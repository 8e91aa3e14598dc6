// Products on tensor cores: 1 to 32 rows of activations with 2, 3, 4 and 8 bit codes, as they lie in their planes. A
// block makes 64 rows of the result, 16 a warp, over a slice of the columns. Copies of codes and activations to shared
// memory run kStages - 1 stages ahead. A group's products are summed with the codes alone, in f32, and only the sums
// are scaled; zero-points and offsets come in by the sum of the group's activations.
#pragma once

#include "kernels/cuda/product_ways.cuh"

namespace ingot::cuda {

// ---- the copies of a thread

// Those of one field: the block's rows, one 16 bytes after the other in shared memory, so that a warp's request has
// whole sectors of 16 rows.
template <uint32_t kPieceBytes, uint32_t kPieces>
struct FieldCopies {
  static constexpr uint32_t kParts = kPieceBytes / 16;
  static constexpr uint32_t kCopies = kPieces * kParts * kBlockRows / kProductThreads;
  static constexpr uint32_t kPiecesAtOnce = kPieces / kCopies;
  const uint8_t* from;
  uint32_t to;
  int32_t left;  // bytes of the row from there on; 0 or less: there are none

  INGOT_DEVICE FieldCopies(const MatrixView& m, int field, uint32_t unit_bytes, uint64_t block_row, uint64_t unit) {
    const uint32_t i = ThreadIndex();
    const uint32_t row = kParts == 2 ? i / 2 : i / kWarp * 16 + i % 16, piece = kParts == 2 ? 0 : i / 16 % 2;
    const uint32_t place = piece * kPieceBytes + (kParts == 2 ? i % 2 * 16 : 0);
    const uint64_t row_bytes = m.row_units * unit_bytes, at = unit * unit_bytes + place;
    to = (piece * kBlockRows + row) * kPieceBytes + (kParts == 2 ? i % 2 * 16 : 0);
    const bool there = block_row + row < m.rows && at < row_bytes;
    left = there ? static_cast<int32_t>(row_bytes - at) : 0;
    from = Bytes(m.root.codes[field], there ? (block_row + row) * row_bytes + at : 0);
  }
  INGOT_DEVICE void Next(uint8_t* stage) {
    constexpr int32_t kStep = kPiecesAtOnce * kPieceBytes;
    INGOT_UNROLL
    for (int32_t k = 0; k < static_cast<int32_t>(kCopies); ++k)
      CopyAsync16OrZeros(stage + to + k * kStep * static_cast<int32_t>(kBlockRows), from + k * kStep, left > k * kStep);
    from += kPieces * kPieceBytes, left -= kPieces * kPieceBytes;
  }
};

template <class Math, int kBits, uint32_t kUnits>
struct StageCopies {
  using Codes = StagedCodes<kBits>;
  FieldCopies<Codes::kPieceBytes, kUnits * 8 * Codes::kWidth / Codes::kPieceBytes> low;
  FieldCopies<16, kUnits / 2> high;
  const uint8_t* x;
  uint32_t x_bytes;

  INGOT_DEVICE StageCopies(const ProductParams& p, uint64_t block_row, uint64_t unit)
      : low(p.matrix, 0, 8 * Codes::kWidth, block_row, unit),
        high(p.matrix, kBits == 3 ? 1 : 0, 8, block_row, unit),
        x(Bytes(p.x, unit * p.x_rows * 64 * Math::kBytes)),
        x_bytes(kUnits * p.x_rows * 64 * Math::kBytes) {}
  INGOT_DEVICE void Next(uint8_t* stage) {
    low.Next(stage);
    if constexpr (Codes::kHighField) high.Next(stage + Codes::LowBytes(kUnits));
    for (uint32_t i = 16 * ThreadIndex(); i < x_bytes; i += 16 * kProductThreads)
      CopyAsync16(stage + Codes::Bytes(kUnits) + i, x + i);
    x += x_bytes;
  }
};

// ---- operands of some groups of the block's rows, in shared memory

struct RowOperands {
  float scale, shift;  // of the sum of codes, of the sum of activations
};

template <class Way>
INGOT_DEVICE RowOperands OperandsOf(const ProductParams& p, const Way& way, uint64_t row, uint64_t group) {
  const MatrixView& m = p.matrix;
  if (row >= m.rows || group >= m.root.groups_across) return {0.0f, 0.0f};
  const GroupValues g = GroupOperands(m, Divide(row, m.root.group_rows) * m.root.groups_across + group);
  const float t = m.t.form == kConstant ? m.t.constant : 1.0f;
  const float s = Multiply(m.root.operands[kScale].form == kAbsent ? 1.0f : g.s, t);
  const float z = Subtract(m.root.operands[kZeroPoint].form == kAbsent ? 0.0f : g.z, Way::kCentre);
  const float o = m.root.operands[kOffset].form == kAbsent ? 0.0f : Multiply(g.o, t);
  return {Multiply(s, way.Unit()), Subtract(0.0f, MultiplyAdd(s, z, o))};
}

template <uint32_t kTiles>
struct GroupChunk {
  RowOperands* operands;  // [group][kOperandStride]
  float* sums;            // [group][8 kTiles]
  uint32_t first, count;

  // By all threads, between barriers.
  template <class Way>
  INGOT_DEVICE void Fill(const ProductParams& p, const Way& way, uint64_t block_row, uint32_t group) {
    const auto groups = static_cast<uint32_t>(p.matrix.root.groups_across);
    first = group, count = groups - group < kChunkGroups ? groups - group : kChunkGroups;
    for (uint32_t i = ThreadIndex(); i < kChunkGroups * kBlockRows; i += kProductThreads) {
      const uint32_t of = i % kChunkGroups, row = i / kChunkGroups;
      StoreShared(operands + of * kOperandStride + row, OperandsOf(p, way, block_row + row, group + of));
    }
    if (!p.shifted) return;
    for (uint32_t i = ThreadIndex(); i < count * 8 * kTiles; i += kProductThreads) {
      const uint32_t n = i % (8 * kTiles);
      const uint32_t at = (group + i / (8 * kTiles)) * p.x_rows + n;
      StoreShared(sums + i, n < p.x_rows ? AsFloat(LoadGlobal<uint32_t>(p.x_sums + at)) : 0.0f);
    }
  }
};

// ---- sums of a warp: 16 rows, 8 kTiles rows of activations; in the places of mma's results

template <class Math, uint32_t kTiles>
struct WarpSums {
  using Sum = typename Math::Sum;
  Sum part[2][kTiles][4] = {};  // of codes in the open group, by halves of units
  float total[kTiles][4] = {};

  // Adds `half` of a group (2: both), and begins a new one. `ends`: the group's activations are all in.
  template <class Way>
  INGOT_DEVICE void Close(const GroupChunk<kTiles>& chunk, uint32_t group, uint32_t row, int half, bool shift) {
    const RowOperands* operands = chunk.operands + (group - chunk.first) * kOperandStride + row;
    const RowOperands of_row[2] = {LoadShared(operands), LoadShared(operands + 8)};
    INGOT_UNROLL
    for (uint32_t j = 0; j < kTiles; ++j) {
      INGOT_UNROLL
      for (uint32_t i = 0; i < 4; ++i) {
        const auto low = static_cast<float>(part[0][j][i]), high = static_cast<float>(part[1][j][i]);
        const float sum = half == 0 ? low : MultiplyAdd(high, Way::kHighScale, half == 1 ? 0.0f : low);
        total[j][i] = MultiplyAdd(sum, of_row[i / 2].scale, total[j][i]);
        if (half != 1) part[0][j][i] = 0;
        if (half != 0) part[1][j][i] = 0;
      }
      if (!shift) continue;
      const float* sums = chunk.sums + ((group - chunk.first) * kTiles + j) * 8 + ThreadIndex() % 4 * 2;
      const Words2 of_x = LoadShared(reinterpret_cast<const Words2*>(sums));
      INGOT_UNROLL
      for (uint32_t i = 0; i < 4; ++i)
        total[j][i] = MultiplyAdd(AsFloat(of_x.word[i % 2]), of_row[i / 2].shift, total[j][i]);
    }
  }
};

// Multiplies one half of a unit: registers of rows g and g + 8.
template <class Math, uint32_t kTiles>
INGOT_DEVICE void MultiplyHalf(const ProductParams& p, const uint8_t* x, int half, const uint32_t* low,
                               const uint32_t* high, WarpSums<Math, kTiles>& sums) {
  constexpr int kWords = 2 * static_cast<int>(Math::kBytes);  // of a lane, in a half
  const uint32_t lane = ThreadIndex() % kWarp;
  INGOT_UNROLL
  for (uint32_t j = 0; j < kTiles; ++j) {
    const uint32_t n = 8 * j + lane / 4, row = n < p.x_rows ? n : p.x_rows - 1;
    const uint8_t* at = x + (row * 4 + lane % 4) * (8 * Math::kBytes);
    uint32_t b[kWords];
    if constexpr (kWords == 4) {
      const Words4 w = LoadShared(reinterpret_cast<const Words4*>(at));
      b[0] = w.word[0], b[1] = w.word[1], b[2] = w.word[2], b[3] = w.word[3];
    } else {
      const Words2 w = LoadShared(reinterpret_cast<const Words2*>(at));
      b[0] = w.word[0], b[1] = w.word[1];
    }
    INGOT_UNROLL
    for (int k = 0; k < kWords; k += 2) {
      const int r = kWords * half + k;
      const uint32_t a[4] = {low[r], high[r], low[r + 1], high[r + 1]};
      Math::Multiply(sums.part[half][j], a, b + k);
    }
  }
}

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
      if (row >= p.matrix.rows || n >= p.x_rows) continue;
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

// ---- the kernel

template <class Math, int kBits, bool kBook, uint32_t kTiles>
struct Tiles {
  using Way = typename WayOf<Math, kBits, kBook>::Way;
  using Codes = StagedCodes<kBits>;
  static constexpr uint32_t kUnits = kBits < 4 || (kBits == 4 && kTiles == 1) ? 4 : 2;  // of a stage
};

template <class Math, int kBits, bool kBook, uint32_t kTiles>
INGOT_KERNEL(kProductThreads)
ProductTiles(const ProductParams p) {
  using T = Tiles<Math, kBits, kBook, kTiles>;
  using Way = typename T::Way;
  INGOT_DYNAMIC_SHARED(uint8_t, shared);
  const uint32_t stage_bytes = T::Codes::Bytes(T::kUnits) + T::kUnits * 64 * Math::kBytes * p.x_rows;
  GroupChunk<kTiles> chunk = {reinterpret_cast<RowOperands*>(shared + kStages * stage_bytes), nullptr, 0, 0};
  chunk.sums = reinterpret_cast<float*>(chunk.operands + kChunkGroups * kOperandStride);
  const Way way(p.matrix, reinterpret_cast<uint32_t*>(chunk.sums + kChunkGroups * 8 * kTiles));

  const uint32_t slice = BlockIndex() / p.row_blocks, block = BlockIndex() - slice * p.row_blocks;
  const uint64_t block_row = static_cast<uint64_t>(block) * kBlockRows;
  const uint32_t lane = ThreadIndex() % kWarp, row = ThreadIndex() / kWarp * 16 + lane / 4;
  const auto all_units = static_cast<uint32_t>(p.matrix.row_units);
  uint32_t unit = slice * p.slice_units;
  const uint32_t end = all_units - unit < p.slice_units ? all_units : unit + p.slice_units;
  uint32_t group = p.half_units ? 2 * unit : unit / p.group_units;
  uint32_t left = (group + 1) * p.group_units - unit;  // units of the open group, not of half_units

  StageCopies<Math, kBits, T::kUnits> copies(p, block_row, unit);
  for (uint32_t s = 0; s + 1 < kStages; ++s) {
    if (unit + s * T::kUnits < end) copies.Next(shared + s * stage_bytes);
    CommitCopies();
  }
  WarpSums<Math, kTiles> sums;
  uint32_t at = 0, next = kStages - 1;  // stages
  while (unit < end) {
    WaitForCopies<kStages - 2>();
    BlockBarrier();
    if (unit + (kStages - 1) * T::kUnits < end) copies.Next(shared + next * stage_bytes);
    CommitCopies();
    next = next + 1 == kStages ? 0 : next + 1;
    uint32_t last = group + (p.half_units ? 2 * T::kUnits - 1 : 0);  // group of this stage
    for (uint32_t units = left; !p.half_units && units < T::kUnits; units += p.group_units) ++last;
    if (last >= chunk.first + chunk.count && chunk.first + chunk.count < p.matrix.root.groups_across) {
      chunk.Fill(p, way, block_row, group);
      BlockBarrier();
    }
    const uint8_t* const stage = shared + at * stage_bytes;
    at = at + 1 == kStages ? 0 : at + 1;
    INGOT_UNROLL
    for (uint32_t u = 0; u < T::kUnits; ++u) {
      if (unit >= end) break;
      ++unit;
      const uint8_t* const x = stage + T::Codes::Bytes(T::kUnits) + u * 64 * Math::kBytes * p.x_rows;
      uint32_t words[2][4], values[2][8];
      INGOT_UNROLL
      for (uint32_t i = 0; i < 2; ++i) {
        T::Codes::template Load<T::kUnits>(stage, u, row + 8 * i, lane % 4, words[i]);
        way.Make(words[i], values[i]);
      }
      MultiplyHalf<Math, kTiles>(p, x, 0, values[0], values[1], sums);
      MultiplyHalf<Math, kTiles>(p, x + 32 * Math::kBytes * p.x_rows, 1, values[0], values[1], sums);
      if (p.half_units) {
        sums.template Close<Way>(chunk, group, row, 0, p.shifted);
        if (group + 1 < p.matrix.root.groups_across) sums.template Close<Way>(chunk, group + 1, row, 1, p.shifted);
        group += 2;
      } else if (--left == 0 || unit == end) {
        // A group that goes on in the next slice gets its shift there.
        sums.template Close<Way>(chunk, group, row, 2, p.shifted && (left == 0 || unit == all_units));
        if (left == 0) ++group, left = p.group_units;
      }
    }
  }
  StoreSums<kTiles>(p, block_row + row - lane / 4, slice, sums.total, Math::kBytes == 1);
}

}  // namespace ingot::cuda

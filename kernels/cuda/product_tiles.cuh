// Products on tensor cores: 1 to 32 rows of activations with 2, 3, 4 and 8 bit codes, as they lie in their planes. A
// block makes 64 rows of the result, 16 a warp, over a slice of the columns. Copies of codes and activations to shared
// memory run kStages - 1 stages ahead. A group's products are summed with the codes alone, in f32, and only the sums
// are scaled; zero-points and offsets come in by the sum of the group's activations.
//
// So a lane takes 5 instructions to make what it gives to an m16n8k16 of 4-bit codes in f16 (for two of them: 8 masks,
// 2 shifts), once for all tiles of activations; Marlin's published way: 12.
#pragma once

#include "kernels/cuda/product_stages.cuh"
#include "kernels/cuda/product_sums.cuh"

namespace ingot::cuda {

// Multiplies one half of a unit: registers of rows g and g + 8. `lane_row`: where in `x` the
// lane's row of activations of each tile is. kFresh: the sums are new.
template <bool kFresh, class Math, uint32_t kTiles>
INGOT_DEVICE void MultiplyHalf(const uint8_t* x, const uint32_t* lane_row, int half, const uint32_t* low,
                               const uint32_t* high, WarpSums<Math, kTiles>& sums) {
  constexpr int kWords = 2 * static_cast<int>(Math::kBytes);  // of a lane, in a half
  INGOT_UNROLL
  for (uint32_t j = 0; j < kTiles; ++j) {
    const uint8_t* const at = x + lane_row[j];
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
      if constexpr (kFresh) {
        if (k == 0) {
          Math::Begin(sums.part[half][j], a, b);
          continue;
        }
      }
      Math::Multiply(sums.part[half][j], a, b + k);
    }
  }
}

// ---- the kernel

template <class Math, int kBits, bool kBook, uint32_t kTiles>
struct Tiles {
  using Way = typename WayOf<Math, kBits, kBook>::Way;
  using Codes = StagedCodes<kBits>;
  static constexpr uint32_t kUnits = kBits == 16                                          ? 1
                                     : kBits < 4 || (kBits == 4 && kTiles == 1 && !kBook) ? 4
                                                                                          : 2;  // of a stage
  static constexpr uint32_t kUnitOfX = 64 * Math::kBytes;  // bytes, a row of activations
};

// The groups of a warp, as units pass: which one is open, and its closing.
template <class Math, int kBits, bool kBook, uint32_t kTiles, Groups kGroups>
struct OpenGroup {
  using T = Tiles<Math, kBits, kBook, kTiles>;
  using Sums = WarpSums<Math, kTiles>;
  // Groups that a stage has, where that is known.
  static constexpr uint32_t kOfStage = kGroups == Groups::kHalves  ? 2 * T::kUnits
                                       : kGroups == Groups::kUnits ? T::kUnits
                                                                   : T::kUnits / 2;
  const bool halves, shifted;
  const uint32_t row, units;  // the lane's first row; of a group
  uint32_t group, left;       // its units that are still to come
  const RowOperands* operands = nullptr;
  const float* of_x = nullptr;

  INGOT_DEVICE OpenGroup(const ProductParams& p, uint32_t unit, uint32_t first_row)
      : halves(p.half_units),
        shifted(kGroups != Groups::kAny || p.shifted),
        row(first_row),
        units(p.group_units),
        group(p.half_units ? 2 * unit : unit / p.group_units),
        left((group + 1) * p.group_units - unit) {}
  INGOT_DEVICE uint32_t LastOfStage() const {
    if constexpr (kGroups == Groups::kRow) return group;
    if constexpr (kGroups != Groups::kAny) return group + kOfStage - 1;
    uint32_t last = group + (halves ? 2 * T::kUnits - 1 : 0);
    for (uint32_t u = left; !halves && u < T::kUnits; u += units) ++last;
    return last;
  }
  // The chunk begins with the open group.
  INGOT_DEVICE void Enter(const GroupChunk<kTiles>& chunk) {
    operands = chunk.operands + chunk.PlaceOfRow(row), of_x = chunk.sums;
  }
  INGOT_DEVICE void Advance(uint32_t groups) {
    group += groups, operands += groups * kOperandStride, of_x += groups * 8 * kTiles;
  }
  template <int kPart>
  INGOT_DEVICE void Close(uint32_t further, bool shift, Sums& sums) const {
    sums.template Close<typename T::Way, kPart, kGroups != Groups::kAny>(operands + further * kOperandStride,
                                                                         of_x + further * 8 * kTiles, shift);
  }
  // After unit `u` of a stage.
  INGOT_DEVICE void AfterUnit(uint32_t u, Sums& sums) {
    if constexpr (kGroups == Groups::kHalves) {
      Close<0>(2 * u, shifted, sums);
      Close<1>(2 * u + 1, shifted, sums);
    } else if constexpr (kGroups == Groups::kUnits) {
      Close<2>(u, shifted, sums);
    } else if constexpr (kGroups == Groups::kPairs) {
      if (u % 2 == 1) Close<2>(u / 2, shifted, sums);
    } else if constexpr (kGroups == Groups::kAny) {
      if (halves) {
        Close<0>(0, shifted, sums);
        Close<1>(1, shifted, sums);
        Advance(2);
      } else if (--left == 0) {
        Close<2>(0, shifted, sums);
        Advance(1);
        left = units;
      }
    }
  }
  INGOT_DEVICE void AfterStage() {
    if constexpr (kGroups != Groups::kAny && kGroups != Groups::kRow) Advance(kOfStage);
  }
  // What is still open: a group that goes on in another slice, which adds what its activations do, or the row's last.
  INGOT_DEVICE void Finish(bool at_end_of_row, Sums& sums) const {
    if constexpr (kGroups == Groups::kRow) Close<2>(0, shifted && at_end_of_row, sums);
    if constexpr (kGroups == Groups::kAny) {
      if (!halves && left != units) Close<2>(0, shifted && at_end_of_row, sums);
    }
  }
  // Whether sums are new at unit `u` of a stage; false where that is not known: they are zeros then.
  static INGOT_DEVICE constexpr bool Fresh(uint32_t u) {
    return kGroups == Groups::kHalves || kGroups == Groups::kUnits || (kGroups == Groups::kPairs && u % 2 == 0);
  }
};

// One unit of a stage after the other.
template <class Math, int kBits, bool kBook, uint32_t kTiles, Groups kGroups, uint32_t kUnit>
INGOT_DEVICE void MultiplyUnits(const typename WayOf<Math, kBits, kBook>::Way& way, const StagedCodes<kBits>& codes,
                                const uint8_t* stage, const uint8_t* x, uint32_t half_bytes, const uint32_t* lane_row,
                                OpenGroup<Math, kBits, kBook, kTiles, kGroups>& open, WarpSums<Math, kTiles>& sums) {
  using T = Tiles<Math, kBits, kBook, kTiles>;
  if constexpr (kUnit < T::kUnits) {
    constexpr bool kFresh = OpenGroup<Math, kBits, kBook, kTiles, kGroups>::Fresh(kUnit);
    uint32_t words[2][T::Codes::kWords], values[2][8];
    codes.template Load<T::kUnits, 0>(stage, kUnit, words[0]);
    codes.template Load<T::kUnits, 8>(stage, kUnit, words[1]);
    way.Make(words[0], values[0]);
    way.Make(words[1], values[1]);
    MultiplyHalf<kFresh>(x, lane_row, 0, values[0], values[1], sums);
    MultiplyHalf<kFresh>(x + half_bytes, lane_row, 1, values[0], values[1], sums);
    open.AfterUnit(kUnit, sums);
    MultiplyUnits<Math, kBits, kBook, kTiles, kGroups, kUnit + 1>(way, codes, stage, x + 2 * half_bytes, half_bytes,
                                                                  lane_row, open, sums);
  }
}

// Groups that are not kAny: of one row of activations.
template <class Math, int kBits, bool kBook, uint32_t kTiles, Groups kGroups>
INGOT_KERNEL(kProductThreads, kTiles == 4 ? 3 : 4)
ProductTiles(const ProductParams p) {
  using T = Tiles<Math, kBits, kBook, kTiles>;
  constexpr uint32_t kRows = kGroups == Groups::kAny ? 8 * kTiles : 1;
  INGOT_DYNAMIC_SHARED(uint8_t, shared);
  const uint32_t x_rows = kRows == 1 ? 1 : p.x_rows;
  const uint32_t stage_bytes = T::Codes::Bytes(T::kUnits) + T::kUnits * T::kUnitOfX * x_rows;
  GroupChunk<kTiles> chunk;
  chunk.operands = reinterpret_cast<RowOperands*>(shared + kStages * stage_bytes);
  chunk.sums = reinterpret_cast<float*>(chunk.operands + kChunkGroups * kOperandStride);
  const typename T::Way way(p.matrix, reinterpret_cast<uint32_t*>(chunk.sums + kChunkGroups * chunk.kSumStride));

  const uint32_t slice = BlockIndex() / p.row_blocks, block = BlockIndex() - slice * p.row_blocks;
  const uint64_t block_row = static_cast<uint64_t>(block) * kBlockRows;
  const uint32_t lane = ThreadIndex() % kWarp, row = ThreadIndex() / kWarp * 16 + lane / 4;
  const auto window_units = static_cast<uint32_t>(p.window.units);
  const uint32_t first = slice * p.slice_units;
  const uint32_t end = window_units - first < p.slice_units ? window_units : first + p.slice_units;
  uint32_t stages = (end - first + T::kUnits - 1) / T::kUnits;  // still to come
  uint32_t ahead = window_units - first;                        // units of the window that copies have not begun with
  uint32_t lane_row[kTiles];  // rows that are not there are the last one once more, and what they give is not stored
  INGOT_UNROLL
  for (uint32_t j = 0; j < kTiles; ++j) {
    const uint32_t n = 8 * j + lane / 4;
    lane_row[j] = Keep(((n < x_rows ? n : x_rows - 1) * 4 + lane % 4) * 8 * Math::kBytes);
  }

  StageCopies<Math, kBits, T::kUnits, kRows> copies(p, block_row, first);
  for (uint32_t s = 0; s + 1 < kStages; ++s) {
    if (s < stages) copies.Next(shared + s * stage_bytes, ahead);
    CommitCopies();
    ahead -= T::kUnits;
  }
  const typename T::Codes codes(row, lane % 4);
  WarpSums<Math, kTiles> sums;
  OpenGroup<Math, kBits, kBook, kTiles, kGroups> open(p, first, row);
  uint32_t stage = 0, used = (kStages - 1) * stage_bytes;
  do {
    WaitForCopies<kStages - 2>();
    BlockBarrier();
    if (stages >= kStages) copies.Next(shared + used, ahead);
    CommitCopies();
    ahead -= T::kUnits;
    if (open.LastOfStage() >= chunk.end) {
      chunk.Fill(p, way, block_row, open.group);
      open.Enter(chunk);
      BlockBarrier();
    }
    const uint8_t* const at = shared + stage;
    MultiplyUnits<Math, kBits, kBook, kTiles, kGroups, 0>(way, codes, at, at + T::Codes::Bytes(T::kUnits),
                                                          T::kUnitOfX / 2 * x_rows, lane_row, open, sums);
    open.AfterStage();
    used = stage;
    stage = stage == (kStages - 1) * stage_bytes ? 0 : stage + stage_bytes;
  } while (--stages > 0);
  open.Finish(end == window_units, sums);
  StoreSums<kTiles>(p, block_row + row - lane / 4, slice, sums.total, Math::kBytes == 1);
}

}  // namespace ingot::cuda

// Decodes what most files have, quickly: whole units of 64 columns in whole groups of 32 or a multiple of 64 columns. A
// warp takes a tile of units; each lane makes the operands of one group ready, then they all go through the tile and
// get operands from one another. Every 32-byte sector of codes, operands and output is used whole, by one request. Rows
// that lie one right after the other are given to it as one long row.
#pragma once

#include "kernels/cuda/decode_params.h"
#include "kernels/cuda/decode_ways.cuh"

namespace ingot::cuda {

// The units of a tile that a lane takes, a block of kBlockUnits after the other; in a block, step by step.
template <class Packed, Grouping kGrouping>
struct LaneUnits {
  static constexpr uint32_t kAtOnce = kWarp / Packed::kLanes;  // units of a warp in a step
  static constexpr uint32_t kBlockUnits = kGrouping == Grouping::kHalfUnits ? 16 : 32;
  static constexpr uint32_t kSteps = kBlockUnits / kAtOnce;
  static constexpr uint32_t kShare = kGrouping == Grouping::kPairs ? 2 : 1;  // steps with the same group

  // The unit of step `step` in its block.
  static INGOT_DEVICE constexpr uint32_t At(uint32_t lane, uint32_t step) {
    return lane / Packed::kLanes * kShare + step / kShare * kShare * kAtOnce + step % kShare;
  }
};

// A tile of codes from `first_unit` of the planes on, to `to`. `position`: where it begins in its first group.
template <class Out, class Way, Grouping kGrouping>
INGOT_DEVICE void DecodeTile(const DecodeParams& p, const Way& way, const uint32_t* ready, uint64_t first_unit,
                             uint32_t position, uint8_t* to) {
  using Packed = typename Way::Packed;
  using Units = LaneUnits<Packed, kGrouping>;
  constexpr int kUnitBytes = 64 / Out::kPiece * 16;
  const uint32_t lane = ThreadIndex() % kWarp, piece = lane % Packed::kLanes, begin = Units::At(lane, 0);
  const uint8_t* at[Packed::kFields];
  Packed::Find(p.matrix.root.codes, first_unit + begin, piece, at);
  uint8_t* out = to + begin * kUnitBytes + 16 * piece;
  uint32_t groups_at = (position + begin) * p.group_step;
  for (uint32_t block = 0; block < p.tile_units; block += Units::kBlockUnits) {
    ForEach<Units::kSteps / Units::kShare>([&](auto turn) {
      constexpr uint32_t kTurn = Units::At(0, turn * Units::kShare);
      constexpr bool kHalfUnits = kGrouping == Grouping::kHalfUnits, kBoth = kHalfUnits && Packed::kPieces > 1;
      uint32_t of = kHalfUnits ? 2 * (begin + kTurn) : (groups_at + kTurn * p.group_step) >> 20;
      if (kHalfUnits && !kBoth) of += 2 * piece / Packed::kLanes;  // a load is of one half only
      uint32_t first[Way::kReady], second[Way::kReady];
      ForEach<Way::kReady>([&](auto i) {
        first[i] = Shuffle(ready[i], of);
        second[i] = kBoth ? Shuffle(ready[i], of + 1) : first[i];
      });
      const typename Way::Group group(first, second);
      ForEach<Units::kShare>([&](auto shared) {
        constexpr int kFurther = static_cast<int>(kTurn) + shared;
        Packed packed;
        packed.template Load<kFurther>(at, piece);
        Words4 values[Packed::kPieces];
        way.Make(packed, group, values);
        ForEach<Packed::kPieces>([&](auto k) {
          constexpr int kOffset = kFurther * kUnitBytes + 16 * static_cast<int>(Packed::kLanes) * k;
          StoreWords<kOffset>(out, values[k]);
        });
      });
    });
    Packed::Advance(at, Units::kBlockUnits);
    out += Units::kBlockUnits * kUnitBytes;
    groups_at += Units::kBlockUnits * p.group_step;
  }
}

template <class Out, class Way, Grouping kGrouping>
INGOT_KERNEL(kDecodeThreads, 4)
DecodeFlat(const DecodeParams p) {
  INGOT_DYNAMIC_SHARED(uint32_t, shared);
  const Way way(p, shared);
  const MatrixView& m = p.matrix;
  const uint32_t lane = ThreadIndex() % kWarp, warps = GridSize() * (BlockSize() / kWarp);
  const uint64_t tiles = p.slice.rows * p.row_tiles.divisor;
  for (uint64_t tile = BlockIndex() * (BlockSize() / kWarp) + ThreadIndex() / kWarp; tile < tiles; tile += warps) {
    const uint64_t row = Divide(tile, p.row_tiles), units = (tile - row * p.row_tiles.divisor) * p.tile_units;
    const uint64_t unit = p.slice.column / 64 + units;  // of the row
    uint64_t group = 2 * unit;
    uint32_t position = 0, last = 2 * p.tile_units - 1;  // of the tile's groups
    if constexpr (kGrouping != Grouping::kHalfUnits) {
      group = Divide(unit, p.group_units);
      // Of groups that a tile may lie in, only where the next one begins matters.
      const uint64_t most = p.group_units.divisor, before = unit - group * most;
      position = static_cast<uint32_t>(most <= p.tile_units           ? before
                                       : before + p.tile_units > most ? before + p.tile_units - most
                                                                      : 0);
      last = ((position + p.tile_units - 1) * p.group_step) >> 20;
    }
    group += (p.slice.row + row) * m.root.groups_across + (lane < last ? lane : last);
    uint32_t ready[Way::kReady];
    way.Prepare(GroupOperands(m, group), ready);
    auto* const to = static_cast<typename Out::Element*>(p.out) + (row * p.stride + units * 64);
    DecodeTile<Out, Way, kGrouping>(p, way, ready, (p.slice.row + row) * m.row_units + unit, position,
                                    reinterpret_cast<uint8_t*>(to));
  }
}

}  // namespace ingot::cuda

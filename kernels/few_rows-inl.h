// Products with few rows of activations, per SIMD target: what those of integers and of floats have in common. Rows of
// weights are walked side by side, block by block, their operands spread to the lanes of a block. Include after
// hwy/highway.h, in each pass of foreach_target.h.
#if defined(INGOT_KERNELS_FEW_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_FEW_ROWS_INL_H_
#undef INGOT_KERNELS_FEW_ROWS_INL_H_
#else
#define INGOT_KERNELS_FEW_ROWS_INL_H_
#endif

#include <algorithm>

#include "hwy/highway.h"
#include "kernels/product.h"
#include "kernels/row_layout-inl.h"

#if INGOT_INTEGER_DOTS
INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Bytes ahead in each row: four rows together hide the latency of memory (with 1024, a quarter slower).
inline constexpr size_t kPrefetch = 3072;

// To the second cache: into the first, prefetches take the places of loads (a tenth slower).
HWY_INLINE void PrefetchAhead(const std::byte* at) { __builtin_prefetch(at + kPrefetch, 0, 2); }

// The sum of o X over groups.
inline float DotOffsets(const float* o, const float* sums, size_t groups) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF sum = hn::Zero(df);
  size_t g = 0;
  for (; g + lanes <= groups; g += lanes) sum = hn::MulAdd(hn::LoadU(df, o + g), hn::LoadU(df, sums + g), sum);
  float total = hn::GetLane(hn::SumOfLanes(df, sum));
  for (; g < groups; ++g) total += o[g] * sums[g];
  return total;
}

// ---- rows side by side

// Rows of weights with rows of activations, X. What a sum over columns is, Arithmetic says:
// - kX, kRows: rows of activations and of weights at a time; kBits; kShortGroups: whether groups of one and two blocks
//   have loops of their own; unit(): of the results.
// - Sums<kVaries>: the sums of one row of weights with each of X; kVaries: zero-points have an array. Start begins them
//   at a place, the number of what such a sum covers (SumKind); AddBlock and AddVector add the products of a block of
//   codes, or of one vector of it, with a block of X; AddTo adds s times them to totals, lane by lane.
template <class Arithmetic>
class RowProducts : RowLayout<Arithmetic::kBits> {
  static constexpr int kBits = Arithmetic::kBits;
  using Layout = RowLayout<kBits>;
  using B = Block<kBits>;
  using typename Layout::LaneOperands;
  template <bool kVaries>
  using SumsOfRow = typename Arithmetic::template Sums<kVaries>;

 public:
  using X = typename Arithmetic::X;
  static constexpr int kX = Arithmetic::kX, kRows = Arithmetic::kRows;

  RowProducts(const IntegerWeights& w, const X* x) : Layout(w), varies_(w.varies), arithmetic_(w, x) {}

  float unit() const { return arithmetic_.unit(); }  // of Run's results

  // result[r * kX + n] for row r and activations n, without the scale of x and offsets.
  void Run(const RowOfW* rows, float* result) const {
    varies_ ? RunOf<true>(rows, result) : RunOf<false>(rows, result);
  }

 private:
  using Totals = VF[kX];

  template <bool kVaries>
  HWY_INLINE void RunOf(const RowOfW* rows, float* result) const {
    if (this->kind_ == SumKind::kBlock) return Fine<kVaries, true>(rows, result);
    if (this->kind_ == SumKind::kVector) return Fine<kVaries, false>(rows, result);
    if constexpr (Arithmetic::kShortGroups) {
      if (this->per_group_ == 1) return Coarse<kVaries, 1>(rows, result);
      if (this->per_group_ == 2) return Coarse<kVaries, 2>(rows, result);
    }
    Coarse<kVaries, 0>(rows, result);
  }

  // Groups of whole blocks: kPerGroup of them, or, 0, per_group_.
  template <bool kVaries, size_t kPerGroup>
  HWY_NOINLINE void Coarse(const RowOfW* in, float* result) const {
    VF totals[kRows][kX];
    RowOfW rows[kRows];
    Begin(in, rows, totals);
    SumsOfRow<kVaries> sums(arithmetic_);
    const size_t per_group = kPerGroup != 0 ? kPerGroup : this->per_group_, groups = this->full_groups_;
    for (size_t g = 0; g < groups; ++g) {
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        const Operands<kVaries> operands(rows[r], g);
        sums.Start(g, operands.z);
        if constexpr (kPerGroup != 0) {
          INGOT_UNROLL for (size_t b = 0; b < kPerGroup; ++b) AddAhead(rows[r], g * kPerGroup + b, sums);
        } else {
          for (size_t b = g * per_group; b < (g + 1) * per_group; ++b) AddAhead(rows[r], b, sums);
        }
        sums.AddTo(totals[r], g, operands.s, operands.z);
      }
    }
    if (groups * per_group < this->full_blocks_ || this->tail_units_ != 0) {
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) LastGroup<kVaries>(rows[r], groups, totals[r]);
    }
    Reduce(totals, result);
  }

  // The last group, where it is a part of one or ends with a part of a block.
  template <bool kVaries>
  HWY_NOINLINE void LastGroup(const RowOfW& row, size_t group, Totals& totals) const {
    SumsOfRow<kVaries> sums(arithmetic_);
    const Operands<kVaries> operands(row, group);
    sums.Start(group, operands.z);
    for (size_t b = group * this->per_group_; b < this->full_blocks_; ++b)
      sums.AddBlock(BlockCodes<kBits>(row.fields, b), b);
    if (this->tail_units_ != 0) {
      TailBlock<kBits> tail;
      sums.AddBlock(BlockCodes<kBits>(this->Tail(row, tail).fields, 0), this->full_blocks_);
    }
    sums.AddTo(totals, group, operands.s, operands.z);
  }

  // Groups smaller than a block: the lanes of a vector belong to several. kBlock: each lane to the same in all vectors.
  template <bool kVaries, bool kBlock>
  HWY_NOINLINE void Fine(const RowOfW* in, float* result) const {
    VF totals[kRows][kX];
    RowOfW rows[kRows];
    Begin(in, rows, totals);
    SumsOfRow<kVaries> sums(arithmetic_);
    for (size_t b = 0; b < this->full_blocks_; ++b) {
      const LaneOperands operands(*this, this->groups_ * b);
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        PrefetchAhead(rows[r].fields[0] + Layout::kBlockBytes * b);
        FineBlock<kVaries, kBlock>(rows[r], b, b, operands, sums, totals[r]);
      }
    }
    if (this->tail_units_ != 0) {
      const LaneOperands operands(*this, 0);
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        TailBlock<kBits> tail;
        FineBlock<kVaries, kBlock>(this->Tail(rows[r], tail), 0, this->full_blocks_, operands, sums, totals[r]);
      }
    }
    Reduce(totals, result);
  }

  template <bool kVaries, bool kBlock>
  HWY_INLINE void FineBlock(const RowOfW& row, size_t block, size_t x_block, const LaneOperands& operands,
                            SumsOfRow<kVaries>& sums, Totals& totals) const {
    const VF s = operands.Load(row.s), z = kVaries ? operands.Load(row.z) : s;
    const BlockCodes<kBits> codes(row.fields, block);
    if constexpr (kBlock) {
      const VF block_z = operands.template Spread<0>(z);
      sums.Start(x_block, block_z);
      sums.AddBlock(codes, x_block);
      sums.AddTo(totals, x_block, operands.template Spread<0>(s), block_z);
    } else {
      FineVector<kVaries, 0>(codes, x_block, operands, s, z, sums, totals);
    }
  }
  template <bool kVaries, int v>
  HWY_INLINE void FineVector(const BlockCodes<kBits>& codes, size_t x_block, const LaneOperands& operands, VF s, VF z,
                             SumsOfRow<kVaries>& sums, Totals& totals) const {
    const size_t place = x_block * B::kVectors + v;
    const VF vector_z = operands.template Spread<v>(z);
    sums.Start(place, vector_z);
    sums.template AddVector<v>(codes, x_block);
    sums.AddTo(totals, place, operands.template Spread<v>(s), vector_z);
    if constexpr (v + 1 < static_cast<int>(B::kVectors))
      FineVector<kVaries, v + 1>(codes, x_block, operands, s, z, sums, totals);
  }

  template <bool kVaries>
  struct Operands {
    HWY_INLINE Operands(const RowOfW& row, size_t group)
        : s(hn::Set(DF(), row.s[group])), z(kVaries ? hn::Set(DF(), row.z[group]) : s) {}
    VF s, z;
  };

  static HWY_INLINE void Begin(const RowOfW* in, RowOfW (&rows)[kRows], VF (&totals)[kRows][kX]) {
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      rows[r] = in[r];
      INGOT_UNROLL for (int n = 0; n < kX; ++n) totals[r][n] = hn::Zero(DF());
    }
  }

  // Of a block of the row and of x, and asks for the codes that come later.
  template <class S>
  static HWY_INLINE void AddAhead(const RowOfW& row, size_t block, S& sums) {
    PrefetchAhead(row.fields[0] + Layout::kBlockBytes * block);
    sums.AddBlock(BlockCodes<kBits>(row.fields, block), block);
  }

  static HWY_INLINE void Reduce(const VF (&totals)[kRows][kX], float* result) {
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        result[r * kX + n] = hn::GetLane(hn::SumOfLanes(DF(), totals[r][n]));
      }
    }
  }

  const bool varies_;
  const Arithmetic arithmetic_;
};

// ---- the matrix

// Rows [begin, end) of the slice with the activations of x, offsets included, by way of several rows at a time that lie
// far apart: one row alone, or rows next to each other, read memory more slowly.
template <class Arithmetic>
void MultiplyRows(const IntegerWeights& w, const typename Arithmetic::X* x, uint64_t begin, uint64_t end,
                  const Product& p, uint64_t first_x) {
  constexpr int kRows = Arithmetic::kRows, kX = Arithmetic::kX;
  const Linear& l = w.matrix->linear;
  const RowProducts<Arithmetic> products(w, x);
  const uint64_t stride = CeilDiv(end - begin, kRows), first_group = w.slice.column / l.group_cols;
  const size_t groups = CeilDiv(w.slice.columns, w.group_cols);
  OperandRows scales[kRows], zeros[kRows], offsets[kRows];
  INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
    const uint64_t last = w.slice.row + std::min(end, begin + stride * static_cast<uint64_t>(r + 1));
    scales[r] = OperandRows(*w.matrix, OperandRows::kScale, last);
    zeros[r] = OperandRows(*w.matrix, OperandRows::kZeroPoint, last);
    offsets[r] = OperandRows(*w.matrix, OperandRows::kOffset, last);
  }
  RowOfW rows[kRows];
  uint64_t row_bytes[kMaxFields] = {};
  const auto widths = FieldWidths(l.bits);
  for (size_t f = 0; f < widths.size(); ++f) row_bytes[f] = PackedRowBytes(l.cols, widths[f]);
  INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
    const uint64_t number = begin + std::min(stride * static_cast<uint64_t>(r), end - begin - 1);
    rows[r].fields = w.matrix->fields_at(w.slice.row + number, w.slice.column);
  }
  for (uint64_t i = 0; i < stride; ++i) {
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      const uint64_t number = stride * static_cast<uint64_t>(r) + i;
      if (number >= end - begin) {
        rows[r] = rows[0];  // computed, and thrown away
        continue;
      }
      const uint64_t row = w.slice.row + begin + number;
      for (size_t f = 0; i != 0 && f < kMaxFields; ++f) rows[r].fields[f] += row_bytes[f];
      rows[r].s = scales[r].Row(row) + first_group;
      rows[r].z = zeros[r].Row(row) + first_group;
      if (w.has_o) rows[r].o = offsets[r].Row(row) + first_group;
    }
    float result[kRows * kX];
    products.Run(rows, result);
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      const uint64_t number = stride * static_cast<uint64_t>(r) + i;
      if (number >= end - begin) break;
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        float& y = p.y[(first_x + static_cast<uint64_t>(n)) * p.y_stride + begin + number];
        float value = products.unit() * result[r * kX + n];
        if (w.has_o) value -= DotOffsets(rows[r].o, x[n].group_sums.get(), groups);
        value *= x[n].scale;
        y = p.add ? y + value : value;
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();
#endif  // INGOT_INTEGER_DOTS

#endif

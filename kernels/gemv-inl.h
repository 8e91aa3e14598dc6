// Matrix-vector products with activations in bytes, at the speed of memory, per SIMD target. Include after
// hwy/highway.h, in each pass of foreach_target.h.
#if defined(INGOT_KERNELS_GEMV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_GEMV_INL_H_
#undef INGOT_KERNELS_GEMV_INL_H_
#else
#define INGOT_KERNELS_GEMV_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hwy/aligned_allocator.h"
#include "hwy/highway.h"
#include "kernels/few_rows-inl.h"

#if INGOT_INTEGER_DOTS
INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One row of activations: x = scale * hi, or scale * (128 hi + lo) in two planes, in the order of Block<kBits>, zeros
// up to whole blocks; and what zero-points multiply: sums X over what one lane covers of a group (coarse) or of a
// vector (fine). A zero-point that is the same everywhere is taken care of where sums start, at -z X. Offsets multiply
// the sums of whole groups.
struct BytesOfX {
  hwy::AlignedFreeUniquePtr<int8_t[]> planes[2];
  hwy::AlignedFreeUniquePtr<int32_t[]> starts[2];
  hwy::AlignedFreeUniquePtr<float[]> sums;        // of both planes together; where zero-points vary
  hwy::AlignedFreeUniquePtr<float[]> group_sums;  // the same; where there are offsets
  float scale = 0.0f;
};

HWY_INLINE VB LoadBytes(const int8_t* at) { return hn::BitCast(DB(), hn::Load(hn::RebindToSigned<DB>(), at)); }

// ---- activations

// Natural order to the order of blocks; `out` is zeroed.
template <int kBits>
void OrderByBlocks(const int8_t* in, uint64_t count, int8_t* out) {
  using B = Block<kBits>;
  if constexpr (B::kFirst == 8) {
    std::memcpy(out, in, count);
  } else {
    constexpr size_t kRun = 8 * B::kFirst;  // lanes that are columns in a row
    for (uint64_t column = 0; column < count; column += kRun) {
      const uint64_t block = column / B::kCols, unit = column % B::kCols / kPackUnit, v = column % kPackUnit / kRun;
      std::memcpy(out + block * B::kCols + v * kVectorBytes + unit * kRun, in + column, std::min(kRun, count - column));
    }
  }
}

// Sums over each group of both planes, which lie `bytes` apart; `in`: natural order, zeros after the last column.
template <int kPlanes>
void SumGroups(const IntegerWeights& w, const int8_t* in, size_t bytes, float* out) {
  for (uint64_t g = 0, begin = 0; begin < w.slice.columns; ++g, begin += w.group_cols) {
    const uint64_t count = std::min(w.group_cols, w.slice.columns - begin);
    const int high = SumOfBytes(in + begin, count);
    out[g] = static_cast<float>(kPlanes == 1 ? high : 128 * high + SumOfBytes(in + bytes + begin, count));
  }
}

template <int kBits, bool kBook, int kPlanes>
BytesOfX MakeBytes(const IntegerWeights& w, const float* x) {
  using B = Block<kBits>;
  const size_t blocks = CeilDiv(w.slice.columns, B::kCols), bytes = blocks * B::kCols;
  const auto natural = hwy::AllocateAligned<int8_t>(2 * bytes);
  BytesOfX out;
  out.scale = QuantizeRow<kPlanes>(x, w.slice.columns, natural.get(), natural.get() + bytes);
  INGOT_UNROLL for (int p = 0; p < kPlanes; ++p) {
    out.planes[p] = hwy::AllocateAligned<int8_t>(bytes);
    std::memset(out.planes[p].get(), 0, bytes);
    OrderByBlocks<kBits>(natural.get() + p * bytes, w.slice.columns, out.planes[p].get());
  }
  if (w.has_o) {
    out.group_sums = hwy::AllocateAligned<float>(CeilDiv(w.slice.columns, w.group_cols));
    SumGroups<kPlanes>(w, natural.get(), bytes, out.group_sums.get());
  }
  const size_t vectors = blocks * B::kVectors;
  const auto kind = SumsOf<kBits>(w);
  const size_t per_sum = kind == Sums::kGroup ? CeilDiv(std::min(w.group_cols, w.slice.columns), B::kCols) * B::kVectors
                         : kind == Sums::kBlock ? B::kVectors
                                                : 1;
  const size_t count = CeilDiv(vectors, per_sum) * kSums;
  for (int p = 0; p < kPlanes; ++p) out.starts[p] = hwy::AllocateAligned<int32_t>(count);
  if (w.varies) out.sums = hwy::AllocateAligned<float>(count);
  const auto ones = hn::Set(DB(), uint8_t{1});
  const auto minus_z = hn::Set(DSum(), (w.varies ? 0 : -w.z) + (kLess128<kMostOf<kBits, kBook>> ? 128 : 0));
  for (size_t v = 0, at = 0; v < vectors; v += per_sum, at += kSums) {
    VSum sum[2] = {hn::Zero(DSum()), hn::Zero(DSum())};
    for (int p = 0; p < kPlanes; ++p) {
      for (size_t i = v; i < std::min(vectors, v + per_sum); ++i)
        sum[p] = AddProducts<1>(sum[p], ones, LoadBytes(out.planes[p].get() + i * kVectorBytes));
      hn::Store(hn::Mul(sum[p], minus_z), DSum(), out.starts[p].get() + at);
    }
    if constexpr (kPlanes == 2) sum[0] = hn::Add(hn::ShiftLeft<7>(sum[0]), sum[1]);
    if (w.varies) hn::Store(hn::ConvertTo(DF(), sum[0]), DF(), out.sums.get() + at);
  }
  return out;
}

template <int kBits, bool kBook, int kPlanes, int kActivations, int kRowsAtOnce>
class RowProducts : RowLayout<kBits> {
  using Layout = RowLayout<kBits>;
  using B = Block<kBits>;
  using Layout::full_blocks_, Layout::full_groups_, Layout::groups_, Layout::per_group_, Layout::tail_units_;
  using typename Layout::LaneOperands;

 public:
  using X = BytesOfX;
  static constexpr int kX = kActivations, kRows = kRowsAtOnce;

  RowProducts(const IntegerWeights& w, const BytesOfX* x)
      : Layout(w), w_(w), x_(x), table_(AsOperand<255>(hn::LoadDup128(DB(), w.book.data()))) {}

  float unit() const { return w_.book_scale; }  // of Run's results

  // result[r * kX + n] for row r and activations n, without the scale of x and offsets.
  void Run(const RowOfW* rows, float* result) const {
    switch (this->kind_) {
      case Sums::kGroup:
        if (kX == 1 && per_group_ == 1) return CoarseOf < kX == 1 ? 1 : 0 > (rows, result);
        if (kX == 1 && per_group_ == 2) return CoarseOf < kX == 1 ? 2 : 0 > (rows, result);
        return CoarseOf<0>(rows, result);
      case Sums::kBlock:
        return FineOf<true>(rows, result);
      default:
        return FineOf<false>(rows, result);
    }
  }

 private:
  using Totals = VF[kX];

  template <size_t kPerGroup>
  HWY_INLINE void CoarseOf(const RowOfW* rows, float* result) const {
    return w_.varies ? Coarse<true, kPerGroup>(rows, result) : Coarse<false, kPerGroup>(rows, result);
  }
  template <bool kBlock>
  HWY_INLINE void FineOf(const RowOfW* rows, float* result) const {
    return w_.varies ? Fine<true, kBlock>(rows, result) : Fine<false, kBlock>(rows, result);
  }

  // kVaries: zero-points have an array. Groups of whole blocks: kPerGroup of them, or, 0, per_group_.
  template <bool kVaries, size_t kPerGroup>
  HWY_NOINLINE void Coarse(const RowOfW* in, float* result) const {
    VF totals[kRows][kX];
    RowOfW rows[kRows];
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      rows[r] = in[r];
      INGOT_UNROLL for (int n = 0; n < kX; ++n) totals[r][n] = hn::Zero(DF());
    }
    const size_t per_group = kPerGroup != 0 ? kPerGroup : per_group_, groups = full_groups_;
    for (size_t g = 0; g < groups; ++g) {
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        VSum sum[kX][kPlanes];
        Start(g, sum);
        if constexpr (kPerGroup != 0) {
          INGOT_UNROLL for (size_t b = 0; b < kPerGroup; ++b) AddAhead(rows[r], g * kPerGroup + b, sum);
        } else {
          for (size_t b = g * per_group; b < (g + 1) * per_group; ++b) AddAhead(rows[r], b, sum);
        }
        Finish<kVaries>(totals[r], sum, g, rows[r], g);
      }
    }
    if (groups * per_group < full_blocks_ || tail_units_ != 0) {
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) LastGroup<kVaries>(rows[r], groups, totals[r]);
    }
    Reduce(totals, result);
  }

  // The last group, where it is a part of one or ends with a part of a block.
  template <bool kVaries>
  HWY_NOINLINE void LastGroup(const RowOfW& row, size_t group, Totals& totals) const {
    VSum sum[kX][kPlanes];
    Start(group, sum);
    for (size_t b = group * per_group_; b < full_blocks_; ++b) Add(row, b, b, sum);
    if (tail_units_ != 0) {
      TailBlock<kBits> tail;
      Add(this->Tail(row, tail), 0, full_blocks_, sum);
    }
    Finish<kVaries>(totals, sum, group, row, group);
  }

  // The products of block `block` of a row with block `x_block` of the activations, added.
  HWY_INLINE void Add(const RowOfW& row, size_t block, size_t x_block, VSum (&sum)[kX][kPlanes]) const {
    const BlockCodes<kBits> codes(row.fields, block);
    INGOT_UNROLL for (int n = 0; n < kX; ++n) {
      INGOT_UNROLL for (int p = 0; p < kPlanes; ++p) {
        sum[n][p] = AddBlock<kBits, kBook>(sum[n][p], codes, x_[n].planes[p].get() + x_block * B::kCols, table_);
      }
    }
  }

  // The same for a block of the row itself, and asks for the codes that come later.
  HWY_INLINE void AddAhead(const RowOfW& row, size_t block, VSum (&sum)[kX][kPlanes]) const {
    PrefetchAhead(row.fields[0] + Layout::kBlockBytes * block);
    Add(row, block, block, sum);
  }

  HWY_INLINE void Start(size_t place, VSum (&sum)[kX][kPlanes]) const {
    INGOT_UNROLL for (int n = 0; n < kX; ++n) {
      INGOT_UNROLL for (int p = 0; p < kPlanes; ++p) {
        sum[n][p] = hn::Load(DSum(), x_[n].starts[p].get() + place * kSums);
      }
    }
  }

  template <bool kVaries>
  HWY_INLINE void Finish(Totals& totals, const VSum (&sum)[kX][kPlanes], size_t place, const RowOfW& row,
                         size_t group) const {
    const DF df;
    const VF s = hn::Set(df, row.s[group]);
    FinishVector<kVaries>(totals, sum, place, s, kVaries ? hn::Set(df, row.z[group]) : s);
  }

  // total + s (sum - z X), X the sums of x at `place`.
  template <bool kVaries>
  HWY_INLINE void FinishVector(Totals& totals, const VSum (&sum)[kX][kPlanes], size_t place, VF s, VF z) const {
    const DF df;
    if constexpr (kBook && kVaries)  // s (c (u - 128) - z) = c s (u - (128 + z / c))
      z = hn::MulAdd(z, hn::Set(df, 1.0f / w_.book_scale), hn::Set(df, 128.0f));
    INGOT_UNROLL for (int n = 0; n < kX; ++n) {
      VF value = hn::ConvertTo(df, sum[n][0]);
      if constexpr (kPlanes == 2)
        value = hn::MulAdd(value, hn::Set(df, 128.0f), hn::ConvertTo(df, sum[n][kPlanes - 1]));
      if constexpr (kVaries) value = hn::NegMulAdd(z, hn::Load(df, x_[n].sums.get() + place * kSums), value);
      totals[n] = hn::MulAdd(s, value, totals[n]);
    }
  }

  // Groups smaller than a block: the lanes of a vector belong to several. kBlock: each lane to the same in all vectors.
  template <bool kVaries, bool kBlock>
  HWY_NOINLINE void Fine(const RowOfW* in, float* result) const {
    VF totals[kRows][kX];
    RowOfW rows[kRows];
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      rows[r] = in[r];
      INGOT_UNROLL for (int n = 0; n < kX; ++n) totals[r][n] = hn::Zero(DF());
    }
    for (size_t b = 0; b < full_blocks_; ++b) {
      const LaneOperands operands(*this, groups_ * b);
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        PrefetchAhead(rows[r].fields[0] + Layout::kBlockBytes * b);
        FineBlock<kVaries, kBlock>(rows[r], b, b, operands, totals[r]);
      }
    }
    if (tail_units_ != 0) {
      const LaneOperands operands(*this, 0);
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        TailBlock<kBits> tail;
        FineBlock<kVaries, kBlock>(this->Tail(rows[r], tail), 0, full_blocks_, operands, totals[r]);
      }
    }
    Reduce(totals, result);
  }

  template <bool kVaries, bool kBlock>
  HWY_INLINE void FineBlock(const RowOfW& row, size_t block, size_t x_block, const LaneOperands& operands,
                            Totals& totals) const {
    const VF s = operands.Load(row.s), z = kVaries ? operands.Load(row.z) : s;
    if constexpr (kBlock) {
      VSum sum[kX][kPlanes];
      Start(x_block, sum);
      Add(row, block, x_block, sum);
      FinishVector<kVaries>(totals, sum, x_block, operands.template Spread<0>(s), operands.template Spread<0>(z));
    } else {
      const BlockCodes<kBits> codes(row.fields, block);
      FineVector<kVaries, 0>(codes, x_block, operands, s, z, totals);
    }
  }
  template <bool kVaries, int v>
  HWY_INLINE void FineVector(const BlockCodes<kBits>& codes, size_t x_block, const LaneOperands& operands, VF s, VF z,
                             Totals& totals) const {
    VB u = codes.template Get<v>();
    u = kBook ? hn::TableLookupBytes(table_, u) : AsOperand<kMostOf<kBits, kBook>>(u);
    const size_t place = x_block * B::kVectors + v;
    VSum sum[kX][kPlanes];
    Start(place, sum);
    INGOT_UNROLL for (int n = 0; n < kX; ++n) {
      INGOT_UNROLL for (int p = 0; p < kPlanes; ++p) {
        const VB x = LoadBytes(x_[n].planes[p].get() + x_block * B::kCols + v * kVectorBytes);
        sum[n][p] = AddProducts<kMostOf<kBits, kBook>>(sum[n][p], u, x);
      }
    }
    FinishVector<kVaries>(totals, sum, place, operands.template Spread<v>(s), operands.template Spread<v>(z));
    if constexpr (v + 1 < static_cast<int>(B::kVectors))
      FineVector<kVaries, v + 1>(codes, x_block, operands, s, z, totals);
  }

  HWY_INLINE void Reduce(const VF (&totals)[kRows][kX], float* result) const {
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        result[r * kX + n] = hn::GetLane(hn::SumOfLanes(DF(), totals[r][n]));
      }
    }
  }

  const IntegerWeights& w_;
  const BytesOfX* x_;
  VB table_;
};

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();
#endif  // INGOT_INTEGER_DOTS

#endif

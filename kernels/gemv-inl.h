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
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/dot-inl.h"
#include "kernels/integer_weights.h"
#include "kernels/operand_rows.h"
#include "kernels/product.h"

#if INGOT_INTEGER_DOTS
INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kSums = hn::MaxLanes(DF());  // lanes of a sum
inline constexpr size_t kPrefetch = 1024;            // bytes ahead in each row

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

// Columns that one sum of integers covers: a group, a block that has several groups of whole units (each in lanes of
// its own), or what one vector has.
enum class Sums { kGroup, kBlock, kVector };
template <int kBits>
Sums SumsOf(const IntegerWeights& w) {
  if (w.group_cols % Block<kBits>::kCols == 0 || w.group_cols >= w.slice.columns) return Sums::kGroup;
  return w.group_cols % kPackUnit == 0 ? Sums::kBlock : Sums::kVector;
}

// To the second cache: into the first, prefetches take the places of loads (a tenth slower).
HWY_INLINE void PrefetchAhead(const std::byte* at) { __builtin_prefetch(at + kPrefetch, 0, 2); }

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

// ---- rows of weights

// A row of the matrix at work: its fields from the slice's first column, and its operands from the slice's first group.
struct RowOfW {
  FieldRows fields;
  const float *s, *z, *o;
};

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

// The last block of a row, filled up with zeros: whole vectors are read.
template <int kBits>
struct TailBlock {
  HWY_ALIGN std::byte bytes[kMaxFields][64];  // a block's are at most 64
  float s[OperandRows::kSlack], z[OperandRows::kSlack];

  RowOfW Make(const RowOfW& row, size_t block, size_t units, size_t first_group, size_t groups) {
    using B = Block<kBits>;
    RowOfW tail{};
    constexpr int kWidths[kMaxFields] = {B::kFirst, B::kSecond, B::kThird};
    for (int f = 0; f < kMaxFields && kWidths[f] != 0; ++f) {
      const size_t unit_bytes = 8 * static_cast<size_t>(kWidths[f]);
      std::memset(bytes[f], 0, sizeof bytes[f]);
      std::memcpy(bytes[f], row.fields[f] + block * B::kUnits * unit_bytes, units * unit_bytes);
      tail.fields[f] = bytes[f];
    }
    const auto copy = [&](const float* from, float* to) {
      std::fill(to, to + OperandRows::kSlack, 0.0f);
      if (groups <= OperandRows::kSlack) std::copy(from + first_group, from + first_group + groups, to);
      return to;
    };
    tail.s = copy(row.s, s), tail.z = copy(row.z, z);
    return tail;
  }
};

// kRows rows times kX rows of activations.
template <int kBits, bool kBook, int kPlanes, int kX, int kRows>
class RowProducts {
  using B = Block<kBits>;
  static constexpr size_t kBlockBytes = 8 * B::kFirst * B::kUnits;

 public:
  RowProducts(const IntegerWeights& w, const BytesOfX* x)
      : w_(w),
        x_(x),
        table_(AsOperand<255>(hn::LoadDup128(DB(), w.book.data()))),
        full_blocks_(w.slice.columns / B::kCols) {
    const size_t tail_cols = w.slice.columns - full_blocks_ * B::kCols;
    tail_units_ = CeilDiv(tail_cols, kPackUnit);
    if (SumsOf<kBits>(w) == Sums::kGroup) {
      per_group_ = CeilDiv(std::min(w.group_cols, w.slice.columns), B::kCols);
      full_groups_ = full_blocks_ / per_group_;
      return;
    }
    groups_ = B::kCols / w.group_cols;
    tail_groups_ = CeilDiv(tail_cols, w.group_cols);
    for (size_t v = 0; v < B::kVectors; ++v) {
      for (size_t lane = 0; lane < kSums; ++lane)
        lane_group_[v][lane] = static_cast<uint32_t>(B::Column(v, 4 * lane) / w.group_cols);
    }
  }

  // result[r * kX + n] for row r and activations n, without the scale of x and offsets.
  void Run(const RowOfW* rows, float* result) const {
    switch (SumsOf<kBits>(w_)) {
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
      Add(tail.Make(row, full_blocks_, tail_units_, 0, 0), 0, full_blocks_, sum);
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
    PrefetchAhead(row.fields[0] + kBlockBytes * block);
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
        PrefetchAhead(rows[r].fields[0] + kBlockBytes * b);
        FineBlock<kVaries, kBlock>(rows[r], b, b, operands, totals[r]);
      }
    }
    if (tail_units_ != 0) {
      const LaneOperands operands(*this, 0);
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        TailBlock<kBits> tail;
        FineBlock<kVaries, kBlock>(tail.Make(rows[r], full_blocks_, tail_units_, groups_ * full_blocks_, tail_groups_),
                                   0, full_blocks_, operands, totals[r]);
      }
    }
    Reduce(totals, result);
  }

  // Where the operands of a block's lanes are: in a vector from a multiple of kSums groups on, which crosses no line of
  // the cache (a block has a power of two of groups).
  class LaneOperands {
   public:
    HWY_INLINE LaneOperands(const RowProducts& products, size_t group) : first_(group / kSums * kSums) {
      const auto in_vector = hn::Set(DSum(), static_cast<int32_t>(group % kSums));
      INGOT_UNROLL for (size_t v = 0; v < B::kVectors; ++v) lanes_[v] =
          hn::Add(hn::Load(DSum(), products.lane_group_[v]), in_vector);
    }
    HWY_INLINE VF Load(const float* operands) const { return hn::LoadU(DF(), operands + first_); }
    // To each lane of vector v that of its group.
    template <int v>
    HWY_INLINE VF Spread(VF operands) const {
      return hn::TableLookupLanes(operands, hn::IndicesFromVec(DF(), lanes_[v]));
    }

   private:
    size_t first_;
    VSum lanes_[B::kVectors];
  };

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
  size_t full_blocks_, tail_units_ = 0;
  size_t per_group_ = 1, full_groups_ = 0;  // blocks, where groups are made of them
  size_t groups_ = 0, tail_groups_ = 0;     // of a block, where they are finer
  HWY_ALIGN int32_t lane_group_[B::kVectors][kSums] = {};
};

// ---- the matrix

// Rows [begin, end) of the slice with kX rows of activations, by way of `kRows` rows at a time that lie far apart: one
// row alone, or rows next to each other, read memory more slowly.
template <int kBits, bool kBook, int kPlanes, int kX, int kRows>
void MultiplyRows(const IntegerWeights& w, const BytesOfX* x, uint64_t begin, uint64_t end, const Product& p,
                  uint64_t first_x) {
  using B = Block<kBits>;
  const Linear& l = w.matrix->linear;
  const RowProducts<kBits, kBook, kPlanes, kX, kRows> products(w, x);
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
        float value = w.book_scale * result[r * kX + n];
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

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
// up to whole blocks. `sums` is what zero-points and offsets multiply: sums of the integers over what one lane covers
// of a group (coarse), or of a vector (fine).
struct BytesOfX {
  hwy::AlignedFreeUniquePtr<int8_t[]> planes[2];
  hwy::AlignedFreeUniquePtr<float[]> sums;
  float scale = 0.0f;
};

// What a product of integers needs to know of the weights.
struct IntegerWeights {
  const EncodedMatrix& matrix;
  MatrixSlice slice;
  uint64_t group_cols;  // the slice's columns where there is one group
  bool has_z, has_o;
  float book_scale = 1.0f;  // codebook entry = book_scale * (byte - 128), about
  HWY_ALIGN uint8_t book[16] = {};

  template <int kBits>
  size_t blocks() const {
    return CeilDiv(slice.columns, Block<kBits>::kCols);
  }
  // Whether groups are made of whole blocks.
  template <int kBits>
  bool coarse() const {
    return group_cols % Block<kBits>::kCols == 0 || group_cols >= slice.columns;
  }
};

// ---- activations

// Integers of one row by its absolute maximum: 8 bits, or 15 as 128 hi + lo. Natural order. Returns the scale.
template <int kPlanes>
float QuantizeRow(const float* x, uint64_t count, int8_t* hi, int8_t* lo) {
  float most = 0.0f;
  for (uint64_t i = 0; i < count; ++i) most = std::max(most, std::abs(x[i]));
  constexpr float kMost = kPlanes == 1 ? 127.0f : 127.0f * 128.0f + 63.0f;
  const float inverse = most == 0.0f ? 0.0f : kMost / most;
  for (uint64_t i = 0; i < count; ++i) {
    // An overflowing inverse of a tiny maximum is caught here.
    const float scaled = std::min(std::max(x[i] * inverse, -kMost), kMost);
    const int q = static_cast<int>(scaled + (scaled < 0 ? -0.5f : 0.5f));
    if constexpr (kPlanes == 1) {
      hi[i] = static_cast<int8_t>(q);
    } else {
      const int high = (q + 64) >> 7;
      hi[i] = static_cast<int8_t>(high);
      lo[i] = static_cast<int8_t>(q - 128 * high);
    }
  }
  return most / kMost;
}

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

template <int kBits, int kPlanes>
BytesOfX MakeBytes(const IntegerWeights& w, const float* x) {
  using B = Block<kBits>;
  const size_t blocks = w.blocks<kBits>(), bytes = blocks * B::kCols;
  const auto natural = hwy::AllocateAligned<int8_t>(2 * bytes);
  BytesOfX out;
  out.scale = QuantizeRow<kPlanes>(x, w.slice.columns, natural.get(), natural.get() + bytes);
  for (int p = 0; p < kPlanes; ++p) {
    out.planes[p] = hwy::AllocateAligned<int8_t>(bytes);
    std::memset(out.planes[p].get(), 0, bytes);
    OrderByBlocks<kBits>(natural.get() + p * bytes, w.slice.columns, out.planes[p].get());
  }
  if (!w.has_z && !w.has_o) return out;
  const bool coarse = w.coarse<kBits>();
  const size_t vectors = blocks * B::kVectors;
  const size_t per_sum = coarse ? CeilDiv(std::min(w.group_cols, w.slice.columns), B::kCols) * B::kVectors : 1;
  out.sums = hwy::AllocateAligned<float>(CeilDiv(vectors, per_sum) * kSums);
  const auto ones = hn::Set(DB(), uint8_t{1});
  for (size_t v = 0, number = 0; v < vectors; v += per_sum, ++number) {
    VSum sum[2] = {hn::Zero(DSum()), hn::Zero(DSum())};
    for (size_t i = v; i < std::min(vectors, v + per_sum); ++i) {
      for (int p = 0; p < kPlanes; ++p)
        sum[p] = AddProducts<1>(
            sum[p], ones,
            hn::BitCast(DB(), hn::Load(hn::RebindToSigned<DB>(), out.planes[p].get() + i * kVectorBytes)));
    }
    if constexpr (kPlanes == 2) sum[0] = hn::Add(hn::ShiftLeft<7>(sum[0]), sum[1]);
    hn::Store(hn::ConvertTo(DF(), sum[0]), DF(), out.sums.get() + number * kSums);
  }
  return out;
}

// ---- rows of weights

// A row of the matrix at work: its fields from the slice's first column, and its operands from the slice's first group.
struct RowOfW {
  FieldRows fields;
  const float *s, *z, *o;
};

// The last block of a row, filled up with zeros: whole vectors are read.
template <int kBits>
struct TailBlock {
  HWY_ALIGN uint8_t bytes[kMaxFields][64];  // a block's are at most 64
  float s[OperandRows::kSlack], z[OperandRows::kSlack], o[OperandRows::kSlack];

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
    tail.s = copy(row.s, s), tail.z = copy(row.z, z), tail.o = copy(row.o, o);
    return tail;
  }
};

HWY_INLINE VF Join(VSum hi, VSum lo) {
  return hn::Add(hn::Mul(hn::ConvertTo(DF(), hi), hn::Set(DF(), 128.0f)), hn::ConvertTo(DF(), lo));
}

// kRows rows times kX rows of activations.
template <int kBits, bool kBook, int kPlanes, int kX, int kRows>
class RowProducts {
  using B = Block<kBits>;

 public:
  RowProducts(const IntegerWeights& w, const BytesOfX* x)
      : w_(w), x_(x), table_(hn::LoadDup128(DB(), w.book)), full_blocks_(w.slice.columns / B::kCols) {
    const size_t tail_cols = w.slice.columns - full_blocks_ * B::kCols;
    tail_units_ = CeilDiv(tail_cols, kPackUnit);
    if (w.coarse<kBits>()) return;
    const size_t groups = B::kCols / w.group_cols;
    tail_groups_ = CeilDiv(tail_cols, w.group_cols);
    groups_ = groups;
    for (size_t v = 0; v < B::kVectors; ++v) {
      for (size_t lane = 0; lane < kSums; ++lane)
        lane_group_[v][lane] = static_cast<uint32_t>(B::Column(v, 4 * lane) / w.group_cols);
    }
  }

  // result[r * kX + n] for row r and activations n, without the scale of x.
  void Run(const RowOfW* rows, float* result) const {
    VF sums[kRows][kX];
    for (auto& row : sums) {
      for (VF& sum : row) sum = hn::Zero(DF());
    }
    if (w_.coarse<kBits>()) {
      Coarse(rows, sums);
    } else {
      for (size_t b = 0; b < full_blocks_; ++b) {
        for (int r = 0; r < kRows; ++r) Fine(rows[r], b, b, groups_ * b, sums[r]);
      }
      for (int r = 0; r < kRows && tail_units_ != 0; ++r) {
        TailBlock<kBits> tail;
        Fine(tail.Make(rows[r], full_blocks_, tail_units_, groups_ * full_blocks_, tail_groups_), 0, full_blocks_, 0,
             sums[r]);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < kX; ++n) result[r * kX + n] = hn::GetLane(hn::SumOfLanes(DF(), sums[r][n]));
    }
  }

 private:
  // The products of block `block` of a row with block `x_block` of the activations, added.
  HWY_INLINE void Add(const RowOfW& row, size_t block, size_t x_block, VSum (&sum)[kX][kPlanes]) const {
    const BlockCodes<kBits> codes(row.fields, block);
    for (int n = 0; n < kX; ++n) {
      for (int p = 0; p < kPlanes; ++p) {
        sum[n][p] = AddBlock<kBits, kBook>(sum[n][p], codes, x_[n].planes[p].get() + x_block * B::kCols, table_);
      }
    }
  }

  void Coarse(const RowOfW* rows, VF (&sums)[kRows][kX]) const {
    const DF df;
    const size_t per_group = CeilDiv(std::min(w_.group_cols, w_.slice.columns), B::kCols);
    const size_t groups = CeilDiv(w_.slice.columns, w_.group_cols);
    for (size_t g = 0; g < groups; ++g) {
      VSum sum[kRows][kX][kPlanes];
      for (auto& row : sum) {
        for (auto& of_x : row) {
          for (VSum& s : of_x) s = hn::Zero(DSum());
        }
      }
      const size_t end = std::min((g + 1) * per_group, full_blocks_);
      for (size_t b = g * per_group; b < end; ++b) {
        for (int r = 0; r < kRows; ++r) {
          hwy::Prefetch(rows[r].fields[0] + 8 * B::kFirst * B::kUnits * b + kPrefetch);
          Add(rows[r], b, b, sum[r]);
        }
      }
      if (g + 1 == groups && tail_units_ != 0) {
        for (int r = 0; r < kRows; ++r) {
          TailBlock<kBits> tail;
          Add(tail.Make(rows[r], full_blocks_, tail_units_, 0, 0), 0, full_blocks_, sum[r]);
        }
      }
      for (int r = 0; r < kRows; ++r) {
        const VF s = hn::Set(df, rows[r].s[g]), z = hn::Set(df, rows[r].z[g]), o = hn::Set(df, rows[r].o[g]);
        for (int n = 0; n < kX; ++n) sums[r][n] = Finish(sums[r][n], sum[r][n], x_[n], g, s, z, o);
      }
    }
  }

  HWY_INLINE void Fine(const RowOfW& row, size_t block, size_t x_block, size_t group, VF (&sums)[kX]) const {
    const DF df;
    const BlockCodes<kBits> codes(row.fields, block);
    if (block == x_block) hwy::Prefetch(row.fields[0] + 8 * B::kFirst * B::kUnits * block + kPrefetch);
    const VF s = hn::LoadU(df, row.s + group), z = hn::LoadU(df, row.z + group), o = hn::LoadU(df, row.o + group);
    FineVector<0>(codes, x_block, s, z, o, sums);
  }
  template <int v>
  HWY_INLINE void FineVector(const BlockCodes<kBits>& codes, size_t x_block, VF s, VF z, VF o, VF (&sums)[kX]) const {
    const auto lanes = hn::SetTableIndices(DF(), lane_group_[v]);
    const VF s_v = hn::TableLookupLanes(s, lanes), z_v = hn::TableLookupLanes(z, lanes),
             o_v = hn::TableLookupLanes(o, lanes);
    VB u = codes.template Get<v>();
    if constexpr (kBook) u = hn::TableLookupBytes(table_, u);
    for (int n = 0; n < kX; ++n) {
      VSum sum[kPlanes];
      for (int p = 0; p < kPlanes; ++p) {
        const int8_t* x = x_[n].planes[p].get() + x_block * B::kCols + v * kVectorBytes;
        sum[p] = AddProducts < kBook ? 255
                                     : (1 << kBits) - 1 > (hn::Zero(DSum()), u,
                                                           hn::BitCast(DB(), hn::Load(hn::RebindToSigned<DB>(), x)));
      }
      sums[n] = Finish(sums[n], sum, x_[n], x_block * B::kVectors + v, s_v, z_v, o_v);
    }
    if constexpr (v + 1 < static_cast<int>(B::kVectors)) FineVector<v + 1>(codes, x_block, s, z, o, sums);
  }

  // total + s (sum - z X) - o X, X the sums of x at `place`.
  HWY_INLINE VF Finish(VF total, const VSum (&sum)[kPlanes], const BytesOfX& x, size_t place, VF s, VF z, VF o) const {
    VF value;
    if constexpr (kPlanes == 1) {
      value = hn::ConvertTo(DF(), sum[0]);
    } else {
      value = Join(sum[0], sum[1]);
    }
    if constexpr (kBook) {  // s (c (u - 128) - z) - o = c (s (u - (128 + z / c)) - o / c)
      const VF inverse = hn::Set(DF(), 1.0f / w_.book_scale);
      z = hn::MulAdd(z, inverse, hn::Set(DF(), 128.0f));
      o = hn::Mul(o, inverse);
    }
    if (w_.has_z) value = hn::NegMulAdd(z, hn::Load(DF(), x.sums.get() + place * kSums), value);
    total = hn::MulAdd(s, value, total);
    if (w_.has_o) total = hn::NegMulAdd(o, hn::Load(DF(), x.sums.get() + place * kSums), total);
    return total;
  }

  const IntegerWeights& w_;
  const BytesOfX* x_;
  VB table_;
  size_t full_blocks_, tail_units_ = 0;
  size_t groups_ = 0, tail_groups_ = 0;  // of a block, where groups are finer than blocks
  HWY_ALIGN uint32_t lane_group_[B::kVectors][kSums] = {};
};

// ---- the matrix

// Rows [begin, end) of the slice with kX rows of activations, by way of `kRows` rows at a time that lie far apart: one
// row alone, or rows next to each other, read memory more slowly.
template <int kBits, bool kBook, int kPlanes, int kX, int kRows>
void MultiplyRows(const IntegerWeights& w, const BytesOfX* x, uint64_t begin, uint64_t end, const Product& p,
                  uint64_t first_x) {
  using B = Block<kBits>;
  const Linear& l = w.matrix.linear;
  const RowProducts<kBits, kBook, kPlanes, kX, kRows> products(w, x);
  const uint64_t stride = CeilDiv(end - begin, kRows), first_group = w.slice.column / l.group_cols;
  OperandRows scales[kRows], zeros[kRows], offsets[kRows];
  for (int r = 0; r < kRows; ++r) {
    const uint64_t last = w.slice.row + std::min(end, begin + stride * static_cast<uint64_t>(r + 1));
    scales[r] = OperandRows(w.matrix, OperandRows::kScale, last);
    zeros[r] = OperandRows(w.matrix, OperandRows::kZeroPoint, last);
    offsets[r] = OperandRows(w.matrix, OperandRows::kOffset, last);
  }
  constexpr int kWidths[kMaxFields] = {B::kFirst, B::kSecond, B::kThird};
  for (uint64_t i = 0; i < stride; ++i) {
    RowOfW rows[kRows];
    for (int r = 0; r < kRows; ++r) {
      const uint64_t number = begin + std::min(stride * static_cast<uint64_t>(r) + i, end - begin - 1);
      const uint64_t row = w.slice.row + number;
      if (stride * static_cast<uint64_t>(r) + i >= end - begin) {
        rows[r] = rows[0];  // computed, and thrown away
        continue;
      }
      for (int f = 0; f < kMaxFields && kWidths[f] != 0; ++f) {
        rows[r].fields[f] = reinterpret_cast<const uint8_t*>(w.matrix.codes[f].data()) +
                            row * PackedRowBytes(l.cols, kWidths[f]) + PackedRowBytes(w.slice.column, kWidths[f]);
      }
      rows[r].s = scales[r].Row(row) + first_group;
      rows[r].z = zeros[r].Row(row) + first_group;
      rows[r].o = offsets[r].Row(row) + first_group;
    }
    float result[kRows * kX];
    products.Run(rows, result);
    for (int r = 0; r < kRows; ++r) {
      const uint64_t number = stride * static_cast<uint64_t>(r) + i;
      if (number >= end - begin) break;
      for (int n = 0; n < kX; ++n) {
        float& y = p.y[(first_x + static_cast<uint64_t>(n)) * p.y_stride + begin + number];
        const float value = x[n].scale * w.book_scale * result[r * kX + n];
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

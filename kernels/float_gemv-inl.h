// Matrix-vector products with activations as they are, in f32, per SIMD target. Include after hwy/highway.h, in each
// pass of foreach_target.h.
#if defined(INGOT_KERNELS_FLOAT_GEMV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_FLOAT_GEMV_INL_H_
#undef INGOT_KERNELS_FLOAT_GEMV_INL_H_
#else
#define INGOT_KERNELS_FLOAT_GEMV_INL_H_
#endif

#include <bit>
#include <cstdint>
#include <type_traits>

#include "hwy/aligned_allocator.h"
#include "hwy/highway.h"
#include "kernels/few_rows-inl.h"

#if INGOT_INTEGER_DOTS
INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kFloats = hn::MaxLanes(DF());

// One row of activations. Lane l of vector v of a block's codes has four codes, one a byte: x of the j-th of them, by
// the unit of its value, is at ((block * kVectors + v) * 4 + j) * kFloats + l, zeros up to whole blocks.
struct FloatsOfX {
  hwy::AlignedFreeUniquePtr<float[]> values;
  hwy::AlignedFreeUniquePtr<float[]> group_sums;  // where there are offsets
  float scale = 1.0f;
};

// m - z of codes, of a codebook or not, in tables for one z.
template <int kBits>
class TableValues {
  static constexpr bool kTwo = (size_t{1} << kBits) > kFloats;  // tables

 public:
  HWY_INLINE TableValues(const float* book, float z) : book_{hn::LoadU(DF(), book)} {
    if constexpr (kTwo) book_[1] = hn::LoadU(DF(), book + kFloats);
    Set(hn::Set(DF(), z));
  }
  HWY_INLINE void Set(VF z) {
    values_[0] = hn::Sub(book_[0], z);
    if constexpr (kTwo) values_[1] = hn::Sub(book_[1], z);
  }
  // Of byte j of each lane: a code in its low bits, and anything above.
  template <int j>
  HWY_INLINE VF At(VB codes) const {
    const auto bits = hn::BitCast(DB32(), codes);
    const auto index = j == 0 ? bits : hn::ShiftRight<8 * j>(bits);
    if constexpr (kTwo) {
      const auto upper = hn::ShiftLeft<32 - 8 * j - kBits>(bits);  // the highest bit of the code as a sign
      return hn::IfNegativeThenElse(hn::BitCast(DF(), upper), Lookup(values_[1], index), Lookup(values_[0], index));
    }
    return Lookup(values_[0], index);
  }
  static constexpr float Unit(int) { return 1.0f; }  // At<j> is a value times Unit(j)

 private:
  // Bits of an index above those that it needs are ignored; a table repeats fewer values than it has room for.
  static HWY_INLINE VF Lookup(VF table, hn::Vec<DB32> index) {
#if HWY_TARGET <= HWY_AVX3  // g++ 12 warns of the one without a mask
    return VF{_mm512_maskz_permutexvar_ps(0xFFFF, index.raw, table.raw)};
#else
    return VF{_mm256_permutevar8x32_ps(table.raw, index.raw)};
#endif
  }
  VF book_[1 + kTwo], values_[1 + kTwo];
};

// q - z of codes: where they are, they become the mantissas of floats, which takes no shift as far as mantissas have
// room and gives powers of two times q. kVaries: z is set, for each lane; else it is an integer.
template <int kBits, bool kVaries>
class PlainValues {
  static constexpr float kStart = 0x1p23f;  // from here on the last bit of a mantissa is 1
  static constexpr bool InPlace(int j) { return 8 * j + kBits <= 23; }

 public:
  HWY_INLINE PlainValues(const float*, float z) {
    INGOT_UNROLL for (int j = 0; j < 3; ++j) {
      start_[j] = hn::Set(DF(), kVaries ? kStart : kStart + z * Unit(j));
      z_[j] = start_[j];
    }
  }
  HWY_INLINE void Set(VF z) { INGOT_UNROLL for (int j = 0; j < 3; ++j) z_[j] = hn::Mul(z, hn::Set(DF(), Unit(j))); }
  template <int j>
  HWY_INLINE VF At(VB codes) const {
    const DB32 d32;
    constexpr int kAt = InPlace(j) ? 8 * j : 0;
    auto bits = hn::BitCast(d32, codes);
    if constexpr (!InPlace(j)) bits = hn::ShiftRight<8 * j>(bits);
    bits = hn::OrAnd(hn::Set(d32, std::bit_cast<uint32_t>(kStart)), bits, hn::Set(d32, ((1u << kBits) - 1) << kAt));
    const VF q = hn::Sub(hn::BitCast(DF(), bits), start_[kAt / 8]);
    return kVaries ? hn::Sub(q, z_[kAt / 8]) : q;
  }
  static constexpr float Unit(int j) { return InPlace(j) ? static_cast<float>(1 << (8 * j)) : 1.0f; }

 private:
  VF start_[3], z_[3];
};

template <int kBits, bool kTables>
constexpr float UnitOf(int j) {
  return kTables ? TableValues<kBits>::Unit(j) : PlainValues<kBits, false>::Unit(j);
}

template <int kBits, bool kTables>
FloatsOfX MakeFloats(const IntegerWeights& w, const float* x) {
  using B = Block<kBits>;
  const uint64_t columns = w.slice.columns, blocks = CeilDiv(columns, B::kCols);
  FloatsOfX out;
  out.values = hwy::AllocateAligned<float>(blocks * B::kCols);
  float* to = out.values.get();
  for (uint64_t block = 0; block < blocks; ++block) {
    for (size_t v = 0; v < B::kVectors; ++v) {
      for (int j = 0; j < 4; ++j) {
        const float inverse = 1.0f / UnitOf<kBits, kTables>(j);
        for (size_t lane = 0; lane < kFloats; ++lane) {
          const uint64_t column = block * B::kCols + B::Column(v, 4 * lane + static_cast<size_t>(j));
          *to++ = column < columns ? x[column] * inverse : 0.0f;
        }
      }
    }
  }
  if (!w.has_o) return out;
  out.group_sums = hwy::AllocateAligned<float>(CeilDiv(columns, w.group_cols));
  for (uint64_t g = 0, begin = 0; begin < columns; ++g, begin += w.group_cols) {
    float sum = 0.0f;
    for (uint64_t c = begin; c < std::min(columns, begin + w.group_cols); ++c) sum += x[c];
    out.group_sums[g] = sum;
  }
  return out;
}

// As RowProducts, in floats.
template <int kBits, bool kTables, int kActivations, int kRowsAtOnce>
class FloatRowProducts : RowLayout<kBits> {
  using Layout = RowLayout<kBits>;
  using B = Block<kBits>;
  using typename Layout::LaneOperands;
  template <bool kVaries>
  using Values = std::conditional_t<kTables, TableValues<kBits>, PlainValues<kBits, kVaries>>;

 public:
  using X = FloatsOfX;
  static constexpr int kX = kActivations, kRows = kRowsAtOnce;

  FloatRowProducts(const IntegerWeights& w, const FloatsOfX* x)
      : Layout(w), w_(w), x_(x), z_(w.matrix->linear.codebook ? 0.0f : static_cast<float>(w.z)) {
    for (size_t i = 0; i < 2 * kFloats; ++i) {
      const size_t code = i % (size_t{1} << kBits);
      book_[i] =
          w.matrix->linear.codebook ? Load<float>(w.matrix->codebook.data() + 4 * code) : static_cast<float>(code);
    }
  }

  float unit() const { return 1.0f; }

  void Run(const RowOfW* rows, float* result) const {
    if (this->kind_ == Sums::kGroup) {
      w_.varies ? Coarse<true>(rows, result) : Coarse<false>(rows, result);
    } else if (this->kind_ == Sums::kBlock) {
      w_.varies ? Fine<true, true>(rows, result) : Fine<false, true>(rows, result);
    } else {
      w_.varies ? Fine<true, false>(rows, result) : Fine<false, false>(rows, result);
    }
  }

 private:
  using Totals = VF[kX];

  // Groups of whole blocks.
  template <bool kVaries>
  HWY_NOINLINE void Coarse(const RowOfW* in, float* result) const {
    const DF df;
    VF totals[kRows][kX];
    RowOfW rows[kRows];
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      rows[r] = in[r];
      INGOT_UNROLL for (int n = 0; n < kX; ++n) totals[r][n] = hn::Zero(df);
    }
    Values<kVaries> values(book_, z_);
    const size_t per_group = this->per_group_, groups = this->full_groups_;
    for (size_t g = 0; g < groups; ++g) {
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        if constexpr (kVaries) values.Set(hn::Set(df, rows[r].z[g]));
        VF sums[kX][2];
        Clear(sums);
        for (size_t b = g * per_group; b < (g + 1) * per_group; ++b) {
          PrefetchAhead(rows[r].fields[0] + Layout::kBlockBytes * b);
          AddBlockTo(rows[r], b, b, values, sums);
        }
        AddScaled(hn::Set(df, rows[r].s[g]), sums, totals[r]);
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
    Values<kVaries> values(book_, z_);
    if constexpr (kVaries) values.Set(hn::Set(DF(), row.z[group]));
    VF sums[kX][2];
    Clear(sums);
    for (size_t b = group * this->per_group_; b < this->full_blocks_; ++b) AddBlockTo(row, b, b, values, sums);
    if (this->tail_units_ != 0) {
      TailBlock<kBits> tail;
      AddBlockTo(this->Tail(row, tail), 0, this->full_blocks_, values, sums);
    }
    AddScaled(hn::Set(DF(), row.s[group]), sums, totals);
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
    Values<kVaries> values(book_, z_);
    for (size_t b = 0; b < this->full_blocks_; ++b) {
      const LaneOperands operands(*this, this->groups_ * b);
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        PrefetchAhead(rows[r].fields[0] + Layout::kBlockBytes * b);
        FineBlock<kVaries, kBlock>(rows[r], b, b, operands, values, totals[r]);
      }
    }
    if (this->tail_units_ != 0) {
      const LaneOperands operands(*this, 0);
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        TailBlock<kBits> tail;
        FineBlock<kVaries, kBlock>(this->Tail(rows[r], tail), 0, this->full_blocks_, operands, values, totals[r]);
      }
    }
    Reduce(totals, result);
  }

  template <bool kVaries, bool kBlock>
  HWY_INLINE void FineBlock(const RowOfW& row, size_t block, size_t x_block, const LaneOperands& operands,
                            Values<kVaries>& values, Totals& totals) const {
    const VF s = operands.Load(row.s), z = kVaries ? operands.Load(row.z) : s;
    if constexpr (kBlock) {
      if constexpr (kVaries) values.Set(operands.template Spread<0>(z));
      VF sums[kX][2];
      Clear(sums);
      AddBlockTo(row, block, x_block, values, sums);
      AddScaled(operands.template Spread<0>(s), sums, totals);
    } else {
      FineVector<kVaries, 0>(BlockCodes<kBits>(row.fields, block), x_block, operands, s, z, values, totals);
    }
  }
  template <bool kVaries, int v>
  HWY_INLINE void FineVector(const BlockCodes<kBits>& codes, size_t x_block, const LaneOperands& operands, VF s, VF z,
                             Values<kVaries>& values, Totals& totals) const {
    if constexpr (kVaries) values.Set(operands.template Spread<v>(z));
    VF sums[kX][2];
    Clear(sums);
    AddVector(codes.template GetUnmasked<v>(), x_block * B::kVectors + v, values, sums);
    AddScaled(operands.template Spread<v>(s), sums, totals);
    if constexpr (v + 1 < static_cast<int>(B::kVectors))
      FineVector<kVaries, v + 1>(codes, x_block, operands, s, z, values, totals);
  }

  // ---- sums of (m - z) x: two of each, since each waits for itself

  static HWY_INLINE void Clear(VF (&sums)[kX][2]) {
    INGOT_UNROLL for (int n = 0; n < kX; ++n) sums[n][0] = sums[n][1] = hn::Zero(DF());
  }
  static HWY_INLINE void AddScaled(VF s, const VF (&sums)[kX][2], Totals& totals) {
    INGOT_UNROLL for (int n = 0; n < kX; ++n) totals[n] = hn::MulAdd(s, hn::Add(sums[n][0], sums[n][1]), totals[n]);
  }
  template <class V>
  HWY_INLINE void AddBlockTo(const RowOfW& row, size_t block, size_t x_block, const V& values,
                             VF (&sums)[kX][2]) const {
    AddVectors<0>(BlockCodes<kBits>(row.fields, block), x_block, values, sums);
  }
  template <int v, class V>
  HWY_INLINE void AddVectors(const BlockCodes<kBits>& codes, size_t x_block, const V& values, VF (&sums)[kX][2]) const {
    AddVector(codes.template GetUnmasked<v>(), x_block * B::kVectors + v, values, sums);
    if constexpr (v + 1 < static_cast<int>(B::kVectors)) AddVectors<v + 1>(codes, x_block, values, sums);
  }
  template <class V>
  HWY_INLINE void AddVector(VB codes, size_t place, const V& values, VF (&sums)[kX][2]) const {
    AddBytes<0>(codes, place, values, sums);
    AddBytes<1>(codes, place, values, sums);
    AddBytes<2>(codes, place, values, sums);
    AddBytes<3>(codes, place, values, sums);
  }
  template <int j, class V>
  HWY_INLINE void AddBytes(VB codes, size_t place, const V& values, VF (&sums)[kX][2]) const {
    const VF value = values.template At<j>(codes);
    INGOT_UNROLL for (int n = 0; n < kX; ++n) {
      const VF x = hn::Load(DF(), x_[n].values.get() + (4 * place + j) * kFloats);
      sums[n][j % 2] = hn::MulAdd(value, x, sums[n][j % 2]);
    }
  }

  static void Reduce(const VF (&totals)[kRows][kX], float* result) {
    INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        result[r * kX + n] = hn::GetLane(hn::SumOfLanes(DF(), totals[r][n]));
      }
    }
  }

  const IntegerWeights& w_;
  const FloatsOfX* x_;
  float z_;
  float book_[2 * kFloats];
};

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();
#endif  // INGOT_INTEGER_DOTS

#endif

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
  const size_t per_sum = kind == SumKind::kGroup
                             ? CeilDiv(std::min(w.group_cols, w.slice.columns), B::kCols) * B::kVectors
                         : kind == SumKind::kBlock ? B::kVectors
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

// For RowProducts: sums of integers, started at what a constant zero-point makes of them.
template <int kBitsOf, bool kBook, int kPlanes, int kActivations, int kRowsAtOnce>
class IntegerArithmetic {
  using B = Block<kBitsOf>;
  static constexpr int kMost = kMostOf<kBitsOf, kBook>;

 public:
  using X = BytesOfX;
  static constexpr int kBits = kBitsOf, kX = kActivations, kRows = kRowsAtOnce;
  static constexpr bool kShortGroups = kX == 1;

  IntegerArithmetic(const IntegerWeights& w, const BytesOfX* x)
      : book_scale_(w.book_scale), x_(x), table_(AsOperand<255>(hn::LoadDup128(DB(), w.book.data()))) {}

  float unit() const { return book_scale_; }

  template <bool kVaries>
  class Sums {
   public:
    explicit HWY_INLINE Sums(const IntegerArithmetic& arithmetic) : a_(arithmetic) {}

    HWY_INLINE void Start(size_t place, VF) {
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        INGOT_UNROLL for (int p = 0; p < kPlanes; ++p) {
          sums_[n][p] = hn::Load(DSum(), a_.x_[n].starts[p].get() + place * kSums);
        }
      }
    }

    HWY_INLINE void AddBlock(const BlockCodes<kBits>& codes, size_t x_block) {
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        INGOT_UNROLL for (int p = 0; p < kPlanes; ++p) {
          const int8_t* x = a_.x_[n].planes[p].get() + x_block * B::kCols;
          sums_[n][p] = ingot::HWY_NAMESPACE::AddBlock<kBits, kBook>(sums_[n][p], codes, x, a_.table_);
        }
      }
    }

    template <int v>
    HWY_INLINE void AddVector(const BlockCodes<kBits>& codes, size_t x_block) {
      VB u = codes.template Get<v>();
      u = kBook ? hn::TableLookupBytes(a_.table_, u) : AsOperand<kMost>(u);
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        INGOT_UNROLL for (int p = 0; p < kPlanes; ++p) {
          const VB x = LoadBytes(a_.x_[n].planes[p].get() + x_block * B::kCols + v * kVectorBytes);
          sums_[n][p] = AddProducts<kMost>(sums_[n][p], u, x);
        }
      }
    }

    // s (sum - z X), X the sums of x at `place`.
    HWY_INLINE void AddTo(VF (&totals)[kX], size_t place, VF s, VF z) const {
      const DF df;
      if constexpr (kBook && kVaries)  // s (c (u - 128) - z) = c s (u - (128 + z / c))
        z = hn::MulAdd(z, hn::Set(df, 1.0f / a_.book_scale_), hn::Set(df, 128.0f));
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        VF value = hn::ConvertTo(df, sums_[n][0]);
        if constexpr (kPlanes == 2)
          value = hn::MulAdd(value, hn::Set(df, 128.0f), hn::ConvertTo(df, sums_[n][kPlanes - 1]));
        if constexpr (kVaries) value = hn::NegMulAdd(z, hn::Load(df, a_.x_[n].sums.get() + place * kSums), value);
        totals[n] = hn::MulAdd(s, value, totals[n]);
      }
    }

   private:
    const IntegerArithmetic& a_;
    VSum sums_[kX][kPlanes];
  };

 private:
  const float book_scale_;
  const BytesOfX* const x_;
  const VB table_;
};

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();
#endif  // INGOT_INTEGER_DOTS

#endif

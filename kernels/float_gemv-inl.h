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

// For RowProducts: sums of floats, two of each, since each waits for itself.
template <int kBitsOf, bool kTables, int kActivations, int kRowsAtOnce>
class FloatArithmetic {
  using B = Block<kBitsOf>;

 public:
  using X = FloatsOfX;
  static constexpr int kBits = kBitsOf, kX = kActivations, kRows = kRowsAtOnce;
  static constexpr bool kShortGroups = false;

  FloatArithmetic(const IntegerWeights& w, const FloatsOfX* x)
      : x_(x), z_(w.matrix->linear.codebook ? 0.0f : static_cast<float>(w.z)) {
    for (size_t i = 0; i < 2 * kFloats; ++i) {
      const size_t code = i % (size_t{1} << kBits);
      book_[i] =
          w.matrix->linear.codebook ? Load<float>(w.matrix->codebook.data() + 4 * code) : static_cast<float>(code);
    }
  }

  static constexpr float unit() { return 1.0f; }

  template <bool kVaries>
  class Sums {
   public:
    explicit HWY_INLINE Sums(const FloatArithmetic& arithmetic)
        : a_(arithmetic), values_(arithmetic.book_, arithmetic.z_) {}

    HWY_INLINE void Start(size_t, VF z) {
      if constexpr (kVaries) values_.Set(z);
      INGOT_UNROLL for (int n = 0; n < kX; ++n) sums_[n][0] = sums_[n][1] = hn::Zero(DF());
    }
    HWY_INLINE void AddBlock(const BlockCodes<kBits>& codes, size_t x_block) { AddVectors<0>(codes, x_block); }
    template <int v>
    HWY_INLINE void AddVector(const BlockCodes<kBits>& codes, size_t x_block) {
      const VB bytes = codes.template GetUnmasked<v>();
      const size_t place = x_block * B::kVectors + v;
      AddBytes<0>(bytes, place);
      AddBytes<1>(bytes, place);
      AddBytes<2>(bytes, place);
      AddBytes<3>(bytes, place);
    }
    HWY_INLINE void AddTo(VF (&totals)[kX], size_t, VF s, VF) const {
      INGOT_UNROLL for (int n = 0; n < kX; ++n) totals[n] = hn::MulAdd(s, hn::Add(sums_[n][0], sums_[n][1]), totals[n]);
    }

   private:
    template <int v>
    HWY_INLINE void AddVectors(const BlockCodes<kBits>& codes, size_t x_block) {
      AddVector<v>(codes, x_block);
      if constexpr (v + 1 < static_cast<int>(B::kVectors)) AddVectors<v + 1>(codes, x_block);
    }
    template <int j>
    HWY_INLINE void AddBytes(VB codes, size_t place) {
      const VF value = values_.template At<j>(codes);
      INGOT_UNROLL for (int n = 0; n < kX; ++n) {
        const VF x = hn::Load(DF(), a_.x_[n].values.get() + (4 * place + j) * kFloats);
        sums_[n][j % 2] = hn::MulAdd(value, x, sums_[n][j % 2]);
      }
    }

    const FloatArithmetic& a_;
    std::conditional_t<kTables, TableValues<kBits>, PlainValues<kBits, kVaries>> values_;
    VF sums_[kX][2];
  };

 private:
  const FloatsOfX* const x_;
  const float z_;
  float book_[2 * kFloats];
};

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();
#endif  // INGOT_INTEGER_DOTS

#endif

// From codes, one a byte, to values, per SIMD target: the formula's operations with s, z and o, one group after the
// other. Include after hwy/highway.h, in each pass of foreach_target.h.
#if defined(INGOT_KERNELS_VALUES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_VALUES_INL_H_
#undef INGOT_KERNELS_VALUES_INL_H_
#else
#define INGOT_KERNELS_VALUES_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "format/encoding.h"
#include "hwy/highway.h"
#include "kernels/half-inl.h"
#include "kernels/line_writer-inl.h"
#include "kernels/matrix.h"

// Whether there are kernels for whole units (kernels/units-inl.h).
#undef INGOT_UNITS
#if HWY_TARGET <= HWY_AVX2
#define INGOT_UNITS 1
#else
#define INGOT_UNITS 0
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DU8 = hn::Rebind<uint8_t, DF>;
using DI32 = hn::Rebind<int32_t, DF>;

// What the functions below may read and write past the end of a stretch, in elements.
inline constexpr size_t kSpill = 64;

// How to compute one matrix's values. A result other than f32 is rounded to here only if nothing follows (t, h).
struct ValueRule {
  int bits = 8;
  DType arithmetic = DType::kF32;
  DType result = DType::kF32;
  bool has_s = false, has_z = false, has_o = false;
  bool has_book = false;
  // m of each code, again and again up to the end: a lookup may ignore an index's higher bits, or not. 64-byte aligned.
  const float* book = nullptr;  // kBookSize entries
};
inline constexpr size_t kBookSize = 256;

// The operands of a stretch of columns, one element a group, or a column where `group_cols` is 1. An absent one points
// to its neutral value, with step 0, as a constant does.
struct GroupOperands {
  const float *s, *z, *o;
  size_t s_step, z_step, o_step;
  uint64_t group_cols;
  uint64_t first_cols;  // columns of the first group that are left
  // Each is 0 or of a magnitude from 2^-100 to 2^100, and so is each entry of the codebook: a power of two may be moved
  // between them, and no value is a NaN.
  bool ordinary;
};

HWY_INLINE VF RoundTo(DType type, VF v) {
  if (type == DType::kF16) return Half::Widen(Half::Narrow(v));
  if (type == DType::kBF16) return Brain::Widen(Brain::Narrow(v));
  return v;
}

// What the formula is made of: all in f32, without and with offsets (absent operands are neutral there), or whatever.
enum class Terms { kPlain, kOffset, kAny };
HWY_INLINE Terms TermsOf(const ValueRule& rule) {
  if (rule.arithmetic != DType::kF32 || rule.result != DType::kF32) return Terms::kAny;
  return rule.has_o ? Terms::kOffset : Terms::kPlain;
}

// The operations on a vector whose lanes share a group (or have an operand each).
struct Formula {
  VF s, z, o;

  template <Terms kTerms>
  HWY_INLINE VF Value(const ValueRule& rule, VF w) const {
    if constexpr (kTerms == Terms::kPlain) return Plain(w);
    if constexpr (kTerms == Terms::kOffset) return hn::Sub(Plain(w), o);
    return Any(rule, w);
  }
  HWY_INLINE VF Plain(VF w) const { return hn::Mul(s, hn::Sub(w, z)); }
  HWY_INLINE VF Any(const ValueRule& rule, VF w) const {
    if (rule.has_z) w = RoundTo(rule.arithmetic, hn::Sub(w, z));
    if (rule.has_s) w = RoundTo(rule.arithmetic, hn::Mul(s, w));
    if (rule.has_o) w = RoundTo(rule.arithmetic, hn::Sub(w, o));
    return RoundTo(rule.result, w);
  }
};

#if HWY_TARGET != HWY_SCALAR
// Lane index modulo the number of lanes: higher bits of an index are ignored.
HWY_INLINE VF LookupLow(VF table, VU32 index) {
#if HWY_TARGET <= HWY_AVX3
  return VF{_mm512_permutexvar_ps(index.raw, table.raw)};
#elif HWY_TARGET == HWY_AVX2
  return VF{_mm256_permutevar8x32_ps(table.raw, index.raw)};
#else
  const DF df;
  const auto low = hn::And(index, hn::Set(DU32(), static_cast<uint32_t>(hn::Lanes(df) - 1)));
  return hn::TableLookupLanes(table, hn::IndicesFromVec(df, low));
#endif
}
#endif

HWY_INLINE const uint8_t* AsCodes(const std::byte* at) { return reinterpret_cast<const uint8_t*>(at); }
HWY_INLINE VU32 LoadCodes(const uint8_t* codes) { return hn::PromoteTo(DU32(), hn::LoadU(DU8(), codes)); }

// ---- ways to a value: each is set to a group, then gives the values of a vector of codes

// Codes or entries of a codebook in memory, then the operations.
template <Terms kTerms, bool kBook>
struct ByArithmetic {
  const ValueRule& rule;
  VU32 mask;
  Formula formula;

  explicit HWY_INLINE ByArithmetic(const ValueRule& r)
      : rule(r), mask(hn::Set(DU32(), (1u << r.bits) - 1)), formula() {}
  HWY_INLINE void Set(const Formula& f) { formula = f; }
  // The code is in the bits of q from kShift on. kAlone: nothing is above it.
  template <int kShift, bool kAlone>
  HWY_INLINE VF At(VU32 q) const {
    if constexpr (kShift != 0) q = hn::ShiftRight<kShift>(q);
    if constexpr (!kAlone) q = hn::And(q, mask);
    VF m;
    if constexpr (kBook) {
      m = hn::GatherIndex(DF(), rule.book, hn::BitCast(DI32(), q));
    } else {
      m = hn::ConvertTo(DF(), hn::BitCast(DI32(), q));
    }
    return formula.Value<kTerms>(rule, m);
  }
};

// s (w - z) of 4-bit codes that need no shift: those in the upper half of a byte are 16 w, with z 16 times and s a
// sixteenth as large. All scaling is exact where the operands are ordinary.
template <Terms kTerms>
struct ByScaledArithmetic {
  const ValueRule& rule;
  Formula low, high;

  explicit HWY_INLINE ByScaledArithmetic(const ValueRule& r) : rule(r), low(), high() {}
  HWY_INLINE void Set(const Formula& f) {
    const DF df;
    low = f;
    high = {hn::Mul(f.s, hn::Set(df, 0x1p-4f)), hn::Mul(f.z, hn::Set(df, 16.0f)), f.o};
  }
  template <int kShift, bool kAlone>
  HWY_INLINE VF At(VU32 q) const {
    static_assert((kShift == 0 || kShift == 4) && !kAlone);
    const auto bits = hn::And(q, hn::Set(DU32(), 0xFu << kShift));
    return (kShift == 0 ? low : high).template Value<kTerms>(rule, hn::ConvertTo(DF(), hn::BitCast(DI32(), bits)));
  }
};

#if HWY_TARGET != HWY_SCALAR
// Up to kParts vectors of decoded values, made once for a group; one lookup a code.
template <Terms kTerms, int kParts>
struct ByTable {
  const ValueRule& rule;
  VF book[kParts];
  VF parts[kParts];

  explicit HWY_INLINE ByTable(const ValueRule& r) : rule(r) {
    for (size_t p = 0; p < kParts; ++p) parts[p] = book[p] = hn::Load(DF(), rule.book + p * hn::Lanes(DF()));
  }
  HWY_INLINE void Set(const Formula& f) {
    for (int p = 0; p < kParts; ++p) parts[p] = f.Value<kTerms>(rule, book[p]);
  }
  template <int kShift, bool kAlone>
  HWY_INLINE VF At(VU32 q) const {
    const auto index = kShift == 0 ? q : hn::ShiftRight<kShift>(q);
    if constexpr (kParts == 1) {
      return LookupLow(parts[0], index);
    } else {
      // The bit that tells the halves apart becomes the sign, which is what a select looks at.
      constexpr int kSign = hn::MaxLanes(DF()) == 16 ? 27 : hn::MaxLanes(DF()) == 8 ? 28 : 29;
      const auto high = hn::ShiftLeft<kSign - kShift>(q);
      const VF upper = LookupLow(parts[1], index), lower = LookupLow(parts[0], index);
#if HWY_TARGET <= HWY_SSE4
      return hn::IfNegativeThenElse(hn::BitCast(DF(), high), upper, lower);
#else  // Highway 1.0.3 compares floats there, and -0 is not less than 0
      const auto negative = hn::Lt(hn::BitCast(DI32(), high), hn::Zero(DI32()));
      return hn::IfThenElse(hn::RebindMask(DF(), negative), upper, lower);
#endif
    }
  }
};
#endif

// ---- stretches of columns

struct StoreF32 {
  using Type = float;
  static HWY_INLINE void Store(VF v, float* out) { hn::StoreU(v, DF(), out); }
};
template <class Format>
struct StoreNarrow {
  using Type = uint16_t;
  static HWY_INLINE void Store(VF v, uint16_t* out) {
    StoreAnywhere(Format::Narrow(v), reinterpret_cast<std::byte*>(out));
  }
};

// The groups of a stretch, one after the other.
class GroupWalk {
 public:
  HWY_INLINE GroupWalk(const GroupOperands& g, uint64_t count)
      : g_(g), s_(g.s), z_(g.z), o_(g.o), left_(count), columns_(std::min(g.first_cols, count)) {}
  HWY_INLINE uint64_t columns() const { return columns_; }  // of the group; 0: the end
  HWY_INLINE Formula formula() const {
    const DF df;
    return {hn::Set(df, *s_), hn::Set(df, *z_), hn::Set(df, *o_)};
  }
  // Of vector `vector` from here on, groups of kCols columns, whole ones, several in a vector: reads up to a vector of
  // operands.
  template <size_t kCols>
  HWY_INLINE Formula formula_of_several(size_t vector) const {
    return {Several<kCols>(s_, g_.s_step, vector), Several<kCols>(z_, g_.z_step, vector),
            Several<kCols>(o_, g_.o_step, vector)};
  }
  HWY_INLINE void Next() { Next(1); }
  HWY_INLINE void Next(size_t groups) {
    s_ += groups * g_.s_step, z_ += groups * g_.z_step, o_ += groups * g_.o_step;
    left_ -= columns_ + (groups - 1) * g_.group_cols;
    columns_ = std::min(g_.group_cols, left_);
  }

 private:
  template <size_t kCols>
  static HWY_INLINE VF Several(const float* operands, size_t step, size_t vector) {
    const DF df;
    constexpr size_t kLanes = hn::MaxLanes(DF());
    struct Groups {
      HWY_ALIGN int32_t of[kCols][kLanes];  // as many vectors as a vector has operands for
    };
    static constexpr Groups kGroups = [] {
      Groups groups{};
      for (size_t i = 0; i < kCols * kLanes; ++i) groups.of[i / kLanes][i % kLanes] = static_cast<int32_t>(i / kCols);
      return groups;
    }();
    if (step == 0) return hn::Set(df, *operands);
    return hn::TableLookupLanes(hn::LoadU(df, operands), hn::SetTableIndices(df, kGroups.of[vector]));
  }

  const GroupOperands& g_;
  const float *s_, *z_, *o_;
  uint64_t left_, columns_;
};

template <class Way, class Out>
void GroupedValues(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count,
                   typename Out::Type* out) {
  const size_t lanes = hn::Lanes(DF());
  Way way(rule);
  for (GroupWalk walk(g, count); walk.columns() != 0; walk.Next()) {
    const uint64_t n = walk.columns();
    way.Set(walk.formula());
    uint64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      const uint8_t* q = codes + i;
      Out::Store(way.template At<0, true>(LoadCodes(q)), out + i);
      Out::Store(way.template At<0, true>(LoadCodes(q + lanes)), out + i + lanes);
      Out::Store(way.template At<0, true>(LoadCodes(q + 2 * lanes)), out + i + 2 * lanes);
      Out::Store(way.template At<0, true>(LoadCodes(q + 3 * lanes)), out + i + 3 * lanes);
    }
    // The last vector may go beyond the group: what follows is written later.
    for (; i < n; i += lanes) Out::Store(way.template At<0, true>(LoadCodes(codes + i)), out + i);
    codes += n, out += n;
  }
}

// An operand for each column; group_cols is 1.
template <Terms kTerms, bool kBook, class Out>
void ColumnValues(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count,
                  typename Out::Type* out) {
  const DF df;
  const auto at = [&](const float* p, size_t step, uint64_t i)
                      HWY_ATTR { return step == 0 ? hn::Set(df, *p) : hn::LoadU(df, p + i); };
  for (uint64_t i = 0; i < count; i += hn::Lanes(df)) {
    const Formula formula{at(g.s, g.s_step, i), at(g.z, g.z_step, i), at(g.o, g.o_step, i)};
    ByArithmetic<kTerms, kBook> way(rule);
    way.Set(formula);
    Out::Store(way.template At<0, true>(LoadCodes(codes + i)), out + i);
  }
}

#undef INGOT_TABLES_OF_BYTES
#if HWY_TARGET <= HWY_SSE4
#define INGOT_TABLES_OF_BYTES 1
// Up to 16 values of two bytes, looked up as two tables of bytes: 16-bit results at twice the rate of f32. Where
// groups and stretch are multiples of 32 columns nothing is written beyond, and kStream, past the caches, is possible.
template <class Format, bool kStream>
void NarrowTableValues(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count,
                       uint16_t* out) {
  const hn::ScalableTag<uint8_t> d8;
  const hn::Repartition<uint16_t, decltype(d8)> d16;
  const bool any = TermsOf(rule) == Terms::kAny;
  const auto value = [&](const Formula& f, size_t i) HWY_ATTR {
    const VF w = hn::Load(DF(), rule.book + i);
    return Format::Narrow(any ? f.Any(rule, w) : f.Value<Terms::kOffset>(rule, w));
  };
#if INGOT_UNITS
  LineWriter lines(out);
#endif
  // Vectors come in their order, but for what was written beyond a group's end.
  const auto store = [&](hn::Vec<decltype(d16)> vector, uint64_t i) HWY_ATTR {
#if INGOT_UNITS
    if constexpr (kStream) return lines.Write(hn::BitCast(DU32(), vector));
#endif
    hn::StoreU(vector, d16, out + i);
  };
  for (GroupWalk walk(g, count); walk.columns() != 0; walk.Next()) {
    const uint64_t n = walk.columns();
    const Formula f = walk.formula();
#if HWY_TARGET <= HWY_AVX3
    const __m512i table = _mm512_broadcast_i64x4(value(f, 0).raw);
    for (uint64_t i = 0; i < n; i += hn::Lanes(d16)) {
      const auto wide = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i)));
      store(hn::Vec<decltype(d16)>{_mm512_permutexvar_epi16(wide, table)}, i);
    }
#else
    const hn::Full128<uint16_t> block16;
    const hn::Full128<uint8_t> block8;
#if HWY_TARGET == HWY_AVX2
    const auto v0 = value(f, 0), v1 = value(f, 8);
#else
    const auto v0 = hn::Combine(block16, value(f, 4), value(f, 0)),
               v1 = hn::Combine(block16, value(f, 12), value(f, 8));
#endif
    HWY_ALIGN uint8_t bytes[32];
    hn::Store(hn::ConcatEven(block8, hn::BitCast(block8, v1), hn::BitCast(block8, v0)), block8, bytes);
    hn::Store(hn::ConcatOdd(block8, hn::BitCast(block8, v1), hn::BitCast(block8, v0)), block8, bytes + 16);
    const auto low_table = hn::LoadDup128(d8, bytes), high_table = hn::LoadDup128(d8, bytes + 16);
    for (uint64_t i = 0; i < n; i += hn::Lanes(d8)) {
      const auto index = hn::LoadU(d8, codes + i);
      const auto low = hn::TableLookupBytes(low_table, index), high = hn::TableLookupBytes(high_table, index);
      const auto first = hn::BitCast(d16, hn::InterleaveLower(d8, low, high));
      const auto second = hn::BitCast(d16, hn::InterleaveUpper(d8, low, high));
#if HWY_TARGET <= HWY_AVX2  // interleaving works within blocks of 16 bytes
      store(hn::ConcatLowerLower(d16, second, first), i);
      store(hn::ConcatUpperUpper(d16, second, first), i + hn::Lanes(d16));
#else
      store(first, i);
      store(second, i + hn::Lanes(d16));
#endif
    }
#endif
    codes += n, out += n;
  }
#if INGOT_UNITS
  if (kStream) lines.Finish();
#endif
}
#else
#define INGOT_TABLES_OF_BYTES 0
#endif

// Whether a table of the matrix's values fits into `parts` vectors.
HWY_INLINE bool FitsTable(const ValueRule& rule, size_t parts) {
  return (size_t{1} << rule.bits) <= parts * hn::Lanes(DF()) && HWY_TARGET != HWY_SCALAR;
}

template <class Out>
void ValuesAs(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count,
              typename Out::Type* out) {
  constexpr Terms kPlain = Terms::kPlain, kAny = Terms::kAny;
  const bool book = rule.has_book, plain = TermsOf(rule) == kPlain;
  if (g.group_cols == 1) {
    if (book) return ColumnValues<kAny, true, Out>(rule, g, codes, count, out);
    return plain ? ColumnValues<kPlain, false, Out>(rule, g, codes, count, out)
                 : ColumnValues<kAny, false, Out>(rule, g, codes, count, out);
  }
#if HWY_TARGET != HWY_SCALAR
  if (FitsTable(rule, 1)) {
    return plain ? GroupedValues<ByTable<kPlain, 1>, Out>(rule, g, codes, count, out)
                 : GroupedValues<ByTable<kAny, 1>, Out>(rule, g, codes, count, out);
  }
  if (FitsTable(rule, 2) && (book || !plain)) {
    return plain ? GroupedValues<ByTable<kPlain, 2>, Out>(rule, g, codes, count, out)
                 : GroupedValues<ByTable<kAny, 2>, Out>(rule, g, codes, count, out);
  }
#endif
  if (book) return GroupedValues<ByArithmetic<kAny, true>, Out>(rule, g, codes, count, out);
  return plain ? GroupedValues<ByArithmetic<kPlain, false>, Out>(rule, g, codes, count, out)
               : GroupedValues<ByArithmetic<kAny, false>, Out>(rule, g, codes, count, out);
}

template <class Format>
void ValuesAs16(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count, uint16_t* out) {
#if INGOT_TABLES_OF_BYTES
  if (rule.bits <= 4 && g.group_cols > 1) return NarrowTableValues<Format, false>(rule, g, codes, count, out);
#endif
  ValuesAs<StoreNarrow<Format>>(rule, g, codes, count, out);
}

// Writes `count` values as `type` (kF32, kF16, kBF16). Reads and writes up to kSpill elements more.
HWY_INLINE void Values(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count, DType type,
                       void* out) {
  if (type == DType::kF16) return ValuesAs16<Half>(rule, g, codes, count, static_cast<uint16_t*>(out));
  if (type == DType::kBF16) return ValuesAs16<Brain>(rule, g, codes, count, static_cast<uint16_t*>(out));
  return ValuesAs<StoreF32>(rule, g, codes, count, static_cast<float*>(out));
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#endif
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
#include "kernels/matrix.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DU8 = hn::Rebind<uint8_t, DF>;
using DI32 = hn::Rebind<int32_t, DF>;
using VU32 = hn::Vec<DU32>;

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
};

HWY_INLINE VF RoundTo(DType type, VF v) {
  if (type == DType::kF16) return Half::Widen(Half::Narrow(v));
  if (type == DType::kBF16) return Brain::Widen(Brain::Narrow(v));
  return v;
}

// The operations on a vector whose lanes share a group (or have an operand each).
struct Formula {
  VF s, z, o;

  HWY_INLINE VF Plain(VF w) const { return hn::Mul(s, hn::Sub(w, z)); }  // no offset, all in f32
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

// Codes or entries of a codebook in memory, then the operations. kPlain: f32 throughout and no offset.
template <bool kPlain, bool kBook>
struct ByArithmetic {
  const ValueRule& rule;
  VU32 mask;
  Formula formula;

  explicit HWY_INLINE ByArithmetic(const ValueRule& r)
      : rule(r), mask(hn::Set(DU32(), (1u << r.bits) - 1)), formula() {}
  HWY_INLINE void Set(const Formula& f) { formula = f; }
  // `bits` above those of the code may be anything in q; kMask: they are.
  template <bool kMask>
  HWY_INLINE VF At(VU32 q) const {
    if constexpr (kMask) q = hn::And(q, mask);
    VF m;
    if constexpr (kBook) {
      m = hn::GatherIndex(DF(), rule.book, hn::BitCast(DI32(), q));
    } else {
      m = hn::ConvertTo(DF(), hn::BitCast(DI32(), q));
    }
    return kPlain ? formula.Plain(m) : formula.Any(rule, m);
  }
};

#if HWY_TARGET != HWY_SCALAR
// Up to kParts vectors of decoded values, made once for a group; one lookup a code.
template <bool kPlain, int kParts>
struct ByTable {
  const ValueRule& rule;
  VF book[kParts];
  VF parts[kParts];

  explicit HWY_INLINE ByTable(const ValueRule& r) : rule(r) {
    for (size_t p = 0; p < kParts; ++p) parts[p] = book[p] = hn::Load(DF(), rule.book + p * hn::Lanes(DF()));
  }
  HWY_INLINE void Set(const Formula& f) {
    for (int p = 0; p < kParts; ++p) parts[p] = kPlain ? f.Plain(book[p]) : f.Any(rule, book[p]);
  }
  template <bool kMask>
  HWY_INLINE VF At(VU32 q) const {
    if constexpr (kParts == 1) {
      return LookupLow(parts[0], q);
    } else {
      // The bit that tells the halves apart becomes the sign, which is what a select looks at.
      constexpr int kShift = hn::MaxLanes(DF()) == 16 ? 27 : hn::MaxLanes(DF()) == 8 ? 28 : 29;
      const auto high = hn::ShiftLeft<kShift>(q);
      const VF upper = LookupLow(parts[1], q), lower = LookupLow(parts[0], q);
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
  HWY_INLINE void Next() {
    s_ += g_.s_step, z_ += g_.z_step, o_ += g_.o_step;
    left_ -= columns_;
    columns_ = std::min(g_.group_cols, left_);
  }

 private:
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
      Out::Store(way.template At<false>(LoadCodes(q)), out + i);
      Out::Store(way.template At<false>(LoadCodes(q + lanes)), out + i + lanes);
      Out::Store(way.template At<false>(LoadCodes(q + 2 * lanes)), out + i + 2 * lanes);
      Out::Store(way.template At<false>(LoadCodes(q + 3 * lanes)), out + i + 3 * lanes);
    }
    // The last vector may go beyond the group: what follows is written later.
    for (; i < n; i += lanes) Out::Store(way.template At<false>(LoadCodes(codes + i)), out + i);
    codes += n, out += n;
  }
}

// ---- packed units of 64 columns, without a detour through bytes: 2, 3 and 4 bits

#undef INGOT_PACKED_UNITS
#if HWY_TARGET <= HWY_AVX2
#define INGOT_PACKED_UNITS 1
// low & mask | high & ~mask.
HWY_INLINE VU32 OrAndNot(VU32 low, VU32 mask, VU32 high) {
#if HWY_TARGET <= HWY_AVX3
  return VU32{_mm512_ternarylogic_epi32(mask.raw, low.raw, high.raw, 0xCA)};
#else
  return hn::Or(hn::And(low, mask), hn::AndNot(mask, high));
#endif
}

// The codes of unit `unit` in column order, a vector at a time; bits above the code's are not cleared.
template <int kBits, class Use>
HWY_INLINE void ForUnit(const FieldRows& planes, uint64_t unit, const Use& use) {
  const DU32 d;
  constexpr size_t kLanes = hn::MaxLanes(DF());
  if constexpr (kBits == 4) {
    const uint8_t* at = AsCodes(planes[0]) + 32 * unit;
    for (size_t i = 0; i < 32; i += kLanes) use(i, LoadCodes(at + i));
    for (size_t i = 0; i < 32; i += kLanes) use(32 + i, hn::ShiftRight<4>(LoadCodes(at + i)));
  } else {
    const uint8_t* at = AsCodes(planes[0]) + 16 * unit;
    if constexpr (kBits == 3) {
      // Column 16 k + j has bit 2 k of byte j for j < 8, bit 2 k + 1 of byte j - 8 above: shifted so that bit 2 k + 2
      // is the code's bit 2 for 16 k.
      HWY_ALIGN static constexpr uint32_t kLeft[16] = {2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1};
      const uint8_t* bits = AsCodes(planes[1]) + 8 * unit;
      for (size_t i = 0; i < 16; i += kLanes) {
        const auto low = LoadCodes(at + i);
#if HWY_TARGET <= HWY_AVX3
        const __m128i twice =
            _mm_set1_epi64x(static_cast<long long>(Load<uint64_t>(reinterpret_cast<const std::byte*>(bits))));
        const auto high = hn::Shl(VU32{_mm512_cvtepu8_epi32(twice)}, hn::Load(d, kLeft));
#else
        const auto high = hn::Shl(LoadCodes(bits), hn::Load(d, kLeft + i));
#endif
        const auto three = hn::Set(d, 3u);
        use(i, OrAndNot(low, three, high));
        use(16 + i, OrAndNot(hn::ShiftRight<2>(low), three, hn::ShiftRight<2>(high)));
        use(32 + i, OrAndNot(hn::ShiftRight<4>(low), three, hn::ShiftRight<4>(high)));
        use(48 + i, OrAndNot(hn::ShiftRight<6>(low), three, hn::ShiftRight<6>(high)));
      }
    } else {
      for (size_t i = 0; i < 16; i += kLanes) {
        const auto low = LoadCodes(at + i);
        use(i, low);
        use(16 + i, hn::ShiftRight<2>(low));
        use(32 + i, hn::ShiftRight<4>(low));
        use(48 + i, hn::ShiftRight<6>(low));
      }
    }
  }
}

// Whole units; groups of whole units, or kGroups of them in a unit.
template <int kBits, int kGroups, class Way, class Sink>
void UnitValues(const ValueRule& rule, const GroupOperands& g, const FieldRows& planes, uint64_t count, Sink& sink) {
  constexpr size_t kCols = kPackUnit / kGroups;
  Way ways[4] = {Way(rule), Way(rule), Way(rule), Way(rule)};  // kGroups of them
  uint64_t unit = 0;
  Sink local = sink;  // its sums stay in registers
  for (GroupWalk walk(g, count); walk.columns() != 0; walk.Next()) {
    ways[0].Set(walk.formula());
    for (int i = 1; i < kGroups; ++i) {
      walk.Next();
      ways[i].Set(walk.formula());
    }
    const uint64_t units = kGroups == 1 ? walk.columns() / kPackUnit : 1;
    for (const uint64_t end = unit + units; unit < end; ++unit) {
      ForUnit<kBits>(
          planes, unit, [&](size_t i, VU32 q) HWY_ATTR __attribute__((always_inline)) {
            local(kPackUnit * unit, i, ways[i / kCols].template At<true>(q));
          });
    }
  }
  sink = local;
}
#else
#define INGOT_PACKED_UNITS 0
#endif

// An operand for each column; group_cols is 1.
template <bool kPlain, bool kBook, class Out>
void ColumnValues(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count,
                  typename Out::Type* out) {
  const DF df;
  const auto at = [&](const float* p, size_t step, uint64_t i)
                      HWY_ATTR { return step == 0 ? hn::Set(df, *p) : hn::LoadU(df, p + i); };
  for (uint64_t i = 0; i < count; i += hn::Lanes(df)) {
    const Formula formula{at(g.s, g.s_step, i), at(g.z, g.z_step, i), at(g.o, g.o_step, i)};
    ByArithmetic<kPlain, kBook> way(rule);
    way.Set(formula);
    Out::Store(way.template At<false>(LoadCodes(codes + i)), out + i);
  }
}

#undef INGOT_TABLES_OF_BYTES
#if HWY_TARGET <= HWY_SSE4
#define INGOT_TABLES_OF_BYTES 1
// Up to 16 values of two bytes, looked up as two tables of bytes: 16-bit results at twice the rate of f32.
template <class Format>
void NarrowTableValues(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count,
                       uint16_t* out) {
  const hn::ScalableTag<uint8_t> d8;
  const hn::Repartition<uint16_t, decltype(d8)> d16;
  const auto value = [&](const Formula& f, size_t i)
                         HWY_ATTR { return Format::Narrow(f.Any(rule, hn::Load(DF(), rule.book + i))); };
  for (GroupWalk walk(g, count); walk.columns() != 0; walk.Next()) {
    const uint64_t n = walk.columns();
    const Formula f = walk.formula();
#if HWY_TARGET <= HWY_AVX3
    const __m512i table = _mm512_broadcast_i64x4(value(f, 0).raw);
    for (uint64_t i = 0; i < n; i += hn::Lanes(d16)) {
      const auto wide = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i)));
      _mm512_storeu_si512(out + i, _mm512_permutexvar_epi16(wide, table));
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
      hn::StoreU(hn::ConcatLowerLower(d16, second, first), d16, out + i);
      hn::StoreU(hn::ConcatUpperUpper(d16, second, first), d16, out + i + hn::Lanes(d16));
#else
      hn::StoreU(first, d16, out + i);
      hn::StoreU(second, d16, out + i + hn::Lanes(d16));
#endif
    }
#endif
    codes += n, out += n;
  }
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
  const bool book = rule.has_book;
  const bool plain = !rule.has_o && rule.arithmetic == DType::kF32 && rule.result == DType::kF32;
  if (g.group_cols == 1) {
    if (book) return ColumnValues<false, true, Out>(rule, g, codes, count, out);
    return plain ? ColumnValues<true, false, Out>(rule, g, codes, count, out)
                 : ColumnValues<false, false, Out>(rule, g, codes, count, out);
  }
#if HWY_TARGET != HWY_SCALAR
  if (FitsTable(rule, 1)) {
    return plain ? GroupedValues<ByTable<true, 1>, Out>(rule, g, codes, count, out)
                 : GroupedValues<ByTable<false, 1>, Out>(rule, g, codes, count, out);
  }
  if (FitsTable(rule, 2) && (book || !plain)) {
    return plain ? GroupedValues<ByTable<true, 2>, Out>(rule, g, codes, count, out)
                 : GroupedValues<ByTable<false, 2>, Out>(rule, g, codes, count, out);
  }
#endif
  if (book) return GroupedValues<ByArithmetic<false, true>, Out>(rule, g, codes, count, out);
  return plain ? GroupedValues<ByArithmetic<true, false>, Out>(rule, g, codes, count, out)
               : GroupedValues<ByArithmetic<false, false>, Out>(rule, g, codes, count, out);
}

template <class Format>
void ValuesAs16(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count, uint16_t* out) {
#if INGOT_TABLES_OF_BYTES
  if (rule.bits <= 4 && g.group_cols > 1) return NarrowTableValues<Format>(rule, g, codes, count, out);
#endif
  ValuesAs<StoreNarrow<Format>>(rule, g, codes, count, out);
}

#if INGOT_PACKED_UNITS
template <int kBits, int kGroups, class Sink>
void UnitValuesIn(const ValueRule& rule, const GroupOperands& g, const FieldRows& planes, uint64_t count, Sink& sink) {
  const bool plain = !rule.has_o && rule.arithmetic == DType::kF32 && rule.result == DType::kF32;
  constexpr int kParts = (1 << kBits) > static_cast<int>(hn::MaxLanes(DF())) ? 2 : 1;
  if (!plain) return UnitValues<kBits, kGroups, ByTable<false, kParts>>(rule, g, planes, count, sink);
  if (kParts == 2 && !rule.has_book)
    return UnitValues<kBits, kGroups, ByArithmetic<true, false>>(rule, g, planes, count, sink);
  return UnitValues<kBits, kGroups, ByTable<true, kParts>>(rule, g, planes, count, sink);
}

template <int kBits, class Sink>
void UnitValuesOf(const ValueRule& rule, const GroupOperands& g, const FieldRows& planes, uint64_t count, Sink& sink) {
  if (g.group_cols == 16) return UnitValuesIn<kBits, 4>(rule, g, planes, count, sink);
  if (g.group_cols == 32) return UnitValuesIn<kBits, 2>(rule, g, planes, count, sink);
  return UnitValuesIn<kBits, 1>(rule, g, planes, count, sink);
}

// The values of `count` columns, whole units of 2, 3 or 4 bits, to `sink`(column of the unit, column in it, values).
template <class Sink>
void PackedValues(const ValueRule& rule, const GroupOperands& g, const FieldRows& planes, uint64_t count, Sink& sink) {
  if (rule.bits == 2) return UnitValuesOf<2>(rule, g, planes, count, sink);
  if (rule.bits == 3) return UnitValuesOf<3>(rule, g, planes, count, sink);
  UnitValuesOf<4>(rule, g, planes, count, sink);
}

struct StoreValues {
  float* out;
  HWY_INLINE void operator()(uint64_t unit, size_t i, VF value) const { hn::StoreU(value, DF(), out + unit + i); }
};
// Dot products with kX rows of activations, which have zeros up to a whole unit.
template <int kX>
struct DotValues {
  const float* x[kX];
  VF sums[kX][4];
  HWY_INLINE void operator()(uint64_t unit, size_t i, VF value) {
    const size_t sum = i / hn::MaxLanes(DF()) % 4;  // several, since each waits for itself
    for (int n = 0; n < kX; ++n) sums[n][sum] = hn::MulAdd(value, hn::LoadU(DF(), x[n] + unit + i), sums[n][sum]);
  }
};
#endif

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
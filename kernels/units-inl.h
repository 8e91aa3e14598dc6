// Values of whole units of 64 columns, per SIMD target (AVX2 and wider): of bytes, or of 2, 3 and 4 bits without a
// detour through bytes. Include after hwy/highway.h, in each pass of foreach_target.h.
#if defined(INGOT_KERNELS_UNITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_UNITS_INL_H_
#undef INGOT_KERNELS_UNITS_INL_H_
#else
#define INGOT_KERNELS_UNITS_INL_H_
#endif

#include <cstdint>
#include <type_traits>

#include "format/packing.h"
#include "hwy/highway.h"
#include "kernels/values-inl.h"

#if INGOT_UNITS
HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <int kShift>
using Above = std::integral_constant<int, kShift>;

// Calls use(first column, vector, Above<n>) for the codes of unit `unit`, which are in the bits of the vector's lanes
// from n on. `planes`: of kBits = 8 the codes as bytes.
template <int kBits, class Use>
HWY_INLINE void ForUnit(const FieldRows& planes, uint64_t unit, const Use& use) {
  constexpr size_t kLanes = hn::MaxLanes(DF());
  const uint8_t* at = AsCodes(planes[0]) + 8 * kBits * unit;
  if constexpr (kBits == 8) {
    for (size_t i = 0; i < 64; i += kLanes) use(i, LoadCodes(at + i), Above<0>());
  } else if constexpr (kBits == 4) {
    for (size_t i = 0; i < 32; i += kLanes) {
      const VU32 q = LoadCodes(at + i);
      use(i, q, Above<0>());
      use(32 + i, q, Above<4>());
    }
  } else if constexpr (kBits == 2) {
    for (size_t i = 0; i < 16; i += kLanes) {
      const VU32 q = LoadCodes(at + i);
      use(i, q, Above<0>());
      use(16 + i, q, Above<2>());
      use(32 + i, q, Above<4>());
      use(48 + i, q, Above<6>());
    }
  } else {
    static_assert(kBits == 3);
    // Codes are put together while they are bytes, two in each: columns j and 32 + j, 16 + j and 48 + j. Column 16 k +
    // j has bit 2 of its code in bit 2 k of byte j for j < 8, in bit 2 k + 1 of byte j - 8 above.
    const hn::Full128<uint8_t> d8;
    const hn::Full128<uint16_t> d16;
    const hn::Full128<uint64_t> d64;
    at = AsCodes(planes[0]) + 16 * unit;
    const auto low = hn::BitCast(d16, hn::LoadU(d8, at));
    const auto eight = hn::Set(d64, Load<uint64_t>(planes[1] + 8 * unit));
    const auto bits =
        hn::BitCast(d16, hn::InterleaveLower(d64, eight, hn::BitCast(d64, hn::ShiftRight<1>(hn::BitCast(d16, eight)))));
    const auto three = hn::Set(d16, 0x3333u), four = hn::Set(d16, 0x4444u);
    const auto even = hn::Or(hn::And(low, three), hn::And(hn::ShiftLeft<2>(bits), four));
    const auto odd = hn::Or(hn::And(hn::ShiftRight<2>(low), three), hn::And(bits, four));
    const auto both = [&](size_t column, hn::Vec<decltype(d16)> codes) HWY_ATTR __attribute__((always_inline)) {
      const auto bytes = hn::BitCast(d8, codes);
#if HWY_TARGET <= HWY_AVX3
      const VU32 q = hn::PromoteTo(DU32(), bytes);
      use(column, q, Above<0>());
      use(column + 32, q, Above<4>());
#else
      const DU8 half;
      const VU32 q0 = hn::PromoteTo(DU32(), hn::LowerHalf(half, bytes));
      const VU32 q1 = hn::PromoteTo(DU32(), hn::UpperHalf(half, bytes));
      use(column, q0, Above<0>());
      use(column + 8, q1, Above<0>());
      use(column + 32, q0, Above<4>());
      use(column + 40, q1, Above<4>());
#endif
    };
    both(0, even);
    both(16, odd);
  }
}

// Whole units; groups of whole units, or kGroups = 2, 4 or 8 in each.
template <int kBits, int kGroups, class Way, class Sink>
void UnitValues(const ValueRule& rule, const GroupOperands& g, const FieldRows& planes, uint64_t count, Sink& sink) {
  // Columns that have a way in common: a group's or, where groups are smaller, a vector's.
  constexpr size_t kGroupCols = kPackUnit / kGroups, kCols = std::max(kGroupCols, hn::MaxLanes(DF()));
  constexpr size_t kWays = kPackUnit / kCols;
  Way ways[8] = {Way(rule), Way(rule), Way(rule), Way(rule), Way(rule), Way(rule), Way(rule), Way(rule)};
  uint64_t unit = 0;
  Sink local = sink;  // its sums stay in registers
  for (GroupWalk walk(g, count); walk.columns() != 0; walk.Next()) {
    if constexpr (kCols == kGroupCols) {
      ways[0].Set(walk.formula());
      for (size_t i = 1; i < kWays; ++i) {
        walk.Next();
        ways[i].Set(walk.formula());
      }
    } else {
      for (size_t i = 0; i < kWays; ++i) ways[i].Set(walk.template formula_of_several<kGroupCols>(i));
      walk.Next(kGroups - 1);
    }
    const uint64_t units = kGroups != 1 ? 1 : walk.columns() / kPackUnit;
    for (const uint64_t end = unit + units; unit < end; ++unit) {
      ForUnit<kBits>(
          planes, unit, [&](size_t i, VU32 q, auto above) HWY_ATTR __attribute__((always_inline)) {
            local(kPackUnit * unit, i, ways[i / kCols].template At<decltype(above)::value, kBits == 8>(q));
          });
    }
  }
  sink = local;
}

template <int kBits, int kGroups, Terms kTerms, class Sink>
void UnitValuesIn(const ValueRule& rule, const GroupOperands& g, const FieldRows& planes, uint64_t count, Sink& sink) {
  constexpr int kParts = (1 << kBits) > static_cast<int>(hn::MaxLanes(DF())) ? 2 : 1;
  if constexpr (kBits == 8) {
    if (rule.has_book) return UnitValues<8, kGroups, ByArithmetic<Terms::kAny, true>>(rule, g, planes, count, sink);
    return UnitValues<8, kGroups, ByArithmetic<kTerms, false>>(rule, g, planes, count, sink);
  } else if constexpr (kParts == 2 && kTerms != Terms::kAny) {
    if (rule.has_book) return UnitValues<kBits, kGroups, ByTable<kTerms, 2>>(rule, g, planes, count, sink);
    return g.ordinary ? UnitValues<kBits, kGroups, ByScaledArithmetic<kTerms>>(rule, g, planes, count, sink)
                      : UnitValues<kBits, kGroups, ByArithmetic<kTerms, false>>(rule, g, planes, count, sink);
  } else {
    UnitValues<kBits, kGroups, ByTable<kTerms, kParts>>(rule, g, planes, count, sink);
  }
}

template <int kBits, int kGroups, class Sink>
void UnitValuesWith(const ValueRule& rule, const GroupOperands& g, const FieldRows& planes, uint64_t count,
                    Sink& sink) {
  switch (TermsOf(rule)) {
    case Terms::kPlain:
      return UnitValuesIn<kBits, kGroups, Terms::kPlain>(rule, g, planes, count, sink);
    case Terms::kOffset:
      return UnitValuesIn<kBits, kGroups, Terms::kOffset>(rule, g, planes, count, sink);
    default:
      return UnitValuesIn<kBits, kGroups, Terms::kAny>(rule, g, planes, count, sink);
  }
}

template <int kBits, class Sink>
void UnitValuesOf(const ValueRule& rule, const GroupOperands& g, const FieldRows& planes, uint64_t count, Sink& sink) {
  if (kBits == 8 && g.group_cols == 8)
    return UnitValuesWith < kBits, kBits == 8 ? 8 : 1 > (rule, g, planes, count, sink);
  if (g.group_cols == 16) return UnitValuesWith<kBits, 4>(rule, g, planes, count, sink);
  if (g.group_cols == 32) return UnitValuesWith<kBits, 2>(rule, g, planes, count, sink);
  UnitValuesWith<kBits, 1>(rule, g, planes, count, sink);
}

// The values of `count` columns, whole units of `bits` = 2, 3, 4 or 8, to `sink`(column of the unit, column in it,
// values).
template <class Sink>
void PackedValues(const ValueRule& rule, int bits, const GroupOperands& g, const FieldRows& planes, uint64_t count,
                  Sink& sink) {
  if (bits == 2) return UnitValuesOf<2>(rule, g, planes, count, sink);
  if (bits == 3) return UnitValuesOf<3>(rule, g, planes, count, sink);
  if (bits == 4) return UnitValuesOf<4>(rule, g, planes, count, sink);
  UnitValuesOf<8>(rule, g, planes, count, sink);
}

// As LineWriter, without its purpose.
class PlainWriter {
 public:
  explicit HWY_INLINE PlainWriter(void* out) : out_(static_cast<uint32_t*>(out)) {}
  HWY_INLINE void Write(VU32 vector) {
    hn::StoreU(vector, DU32(), out_);
    out_ += hn::MaxLanes(DU32());
  }
  HWY_INLINE void Finish() {}

 private:
  uint32_t* out_;
};
template <bool kStream>
using ValueWriter = std::conditional_t<kStream, LineWriter, PlainWriter>;

struct StoreValues {
  float* out;
  HWY_INLINE void operator()(uint64_t unit, size_t i, VF value) const { hn::StoreU(value, DF(), out + unit + i); }
};
// Whole units past the caches, once all vectors of one are there.
struct StreamValues {
  LineWriter writer;
  VF values[kPackUnit / hn::MaxLanes(DF())];
  HWY_INLINE void operator()(uint64_t, size_t i, VF value) {
    constexpr size_t kLanes = hn::MaxLanes(DF());
    values[i / kLanes] = value;
    if (i + kLanes < kPackUnit) return;  // the last vector comes last
    for (const VF& v : values) writer.Write(hn::BitCast(DU32(), v));
  }
};
// Of bytes, which come in the order of the columns.
template <class Format, bool kStream>
struct StoreNarrowValues {
  ValueWriter<kStream> writer;
  VF even;
  HWY_INLINE void operator()(uint64_t, size_t i, VF value) {
    if (i / hn::MaxLanes(DF()) % 2 == 0) {
      even = value;
    } else {
      writer.Write(Format::Pair(even, value));
    }
  }
};
template <class Format, bool kStream>
void NarrowUnits(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count, uint16_t* out) {
  if (rule.bits <= 4 && g.group_cols % 32 == 0)
    return NarrowTableValues<typename Format::Single, kStream>(rule, g, codes, count, out);
  StoreNarrowValues<Format, kStream> sink{ValueWriter<kStream>(out), hn::Zero(DF())};
  UnitValuesOf<8>(rule, g, {reinterpret_cast<const std::byte*>(codes)}, count, sink);
  sink.writer.Finish();
}

// Whole units of `bits` = 2, 3, 4 or 8 as f32.
template <bool kStream>
void WideUnits(const ValueRule& rule, int bits, const GroupOperands& g, const FieldRows& planes, uint64_t count,
               void* out) {
  if constexpr (kStream) {
    StreamValues sink{LineWriter(out), {}};
    PackedValues(rule, bits, g, planes, count, sink);
    sink.writer.Finish();
  } else {
    StoreValues sink{static_cast<float*>(out)};
    PackedValues(rule, bits, g, planes, count, sink);
  }
}

// Whole units of codes, one a byte, as `type` (kF32, kF16, kBF16).
template <bool kStream>
void ByteUnits(const ValueRule& rule, const GroupOperands& g, const uint8_t* codes, uint64_t count, DType type,
               void* out) {
  auto* narrow = static_cast<uint16_t*>(out);
  if (type == DType::kF16) return NarrowUnits<Half, kStream>(rule, g, codes, count, narrow);
  if (type == DType::kBF16) {
    return g.ordinary ? NarrowUnits<OrdinaryBrain, kStream>(rule, g, codes, count, narrow)
                      : NarrowUnits<Brain, kStream>(rule, g, codes, count, narrow);
  }
  WideUnits<kStream>(rule, 8, g, {reinterpret_cast<const std::byte*>(codes)}, count, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();
#endif  // INGOT_UNITS

#endif

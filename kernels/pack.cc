#include "kernels/pack.h"

#include <cstring>

#include "format/bytes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pack.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Bits [shift, shift + f) of 8f codes from codes + 8f*k, moved up by f*k; the terms k.. of one unit ORed together.
template <int f, int shift, int k, class D>
HWY_INLINE hn::Vec<D> GatherField(D d, const uint8_t* codes) {
  const auto mask = hn::Set(d, static_cast<uint8_t>((1 << f) - 1));
  auto field = hn::And(hn::ShiftRight<shift>(hn::LoadU(d, codes + 8 * f * k)), mask);
  if constexpr (k != 0) field = hn::ShiftLeft<f * k>(field);
  if constexpr ((k + 1) * f < 8) field = hn::Or(field, GatherField<f, shift, k + 1>(d, codes));
  return field;
}

// One unit of 64 codes to 8f bytes.
template <int f, int shift>
HWY_INLINE void PackUnit(const uint8_t* codes, uint8_t* out) {
  if constexpr (f == 8) {
    std::memcpy(out, codes, kPackUnit);
  } else {
    const hn::CappedTag<uint8_t, 8 * f> d;
    for (size_t i = 0; i < 8 * f; i += hn::Lanes(d)) hn::StoreU(GatherField<f, shift, 0>(d, codes + i), d, out + i);
  }
}

// The fields of `packed`, from term k up, each to its 8f codes, ORed to what is there unless the field is the first
// one.
template <int f, int shift, int k, class D>
HWY_INLINE void ScatterField(D d, hn::Vec<D> packed, uint8_t* codes) {
  auto field = packed;
  if constexpr (k != 0) field = hn::ShiftRight<f * k>(field);
  field = hn::And(field, hn::Set(d, static_cast<uint8_t>((1 << f) - 1)));
  if constexpr (shift != 0) field = hn::Or(hn::ShiftLeft<shift>(field), hn::LoadU(d, codes + 8 * f * k));
  hn::StoreU(field, d, codes + 8 * f * k);
  if constexpr ((k + 1) * f < 8) ScatterField<f, shift, k + 1>(d, packed, codes);
}

template <int f, int shift>
HWY_INLINE void UnpackUnit(const uint8_t* in, uint8_t* codes) {
  if constexpr (f == 8) {
    std::memcpy(codes, in, kPackUnit);
  } else {
    const hn::CappedTag<uint8_t, 8 * f> d;
    for (size_t i = 0; i < 8 * f; i += hn::Lanes(d)) ScatterField<f, shift, 0>(d, hn::LoadU(d, in + i), codes + i);
  }
}

template <int f, int shift>
void PackField(const uint8_t* codes, uint64_t cols, uint8_t* out) {
  const uint64_t whole = cols / kPackUnit * kPackUnit;
  for (uint64_t c = 0; c < whole; c += kPackUnit, out += 8 * f) PackUnit<f, shift>(codes + c, out);
  if (whole == cols) return;
  uint8_t last[kPackUnit] = {};
  std::memcpy(last, codes + whole, cols - whole);
  PackUnit<f, shift>(last, out);
}

template <int f, int shift>
void UnpackField(const uint8_t* in, uint64_t cols, uint8_t* codes) {
  const uint64_t whole = cols / kPackUnit * kPackUnit;
  for (uint64_t c = 0; c < whole; c += kPackUnit, in += 8 * f) UnpackUnit<f, shift>(in, codes + c);
  if (whole == cols) return;
  uint8_t last[kPackUnit] = {};
  if constexpr (shift != 0) std::memcpy(last, codes + whole, cols - whole);
  UnpackUnit<f, shift>(in, last);
  std::memcpy(codes + whole, last, cols - whole);
}

#if HWY_TARGET <= HWY_AVX2
// With shifts that differ from lane to lane a vector of codes takes a load, a shift and a mask for each field.

// Codes [i, i + lanes) of a unit: field `f` bits wide, moved up by `shift`.
template <int f, int shift, class D>
HWY_INLINE hn::Vec<D> FieldOf(D d, const uint8_t* unit, size_t i) {
  const hn::Repartition<uint32_t, D> d32;
  const hn::Repartition<uint64_t, D> d64;
  constexpr size_t kLanes = hn::MaxLanes(D());
  hn::Vec<D> field;
  if constexpr (f == 8) {
    field = hn::LoadU(d, unit + i);
  } else if constexpr (f == 4) {
    if constexpr (kLanes == 64) {
      HWY_ALIGN static constexpr uint64_t kShifts[8] = {0, 0, 0, 0, 4, 4, 4, 4};
      const auto both =
          hn::BitCast(d64, hn::Combine(d, hn::LoadU(hn::Half<D>(), unit), hn::LoadU(hn::Half<D>(), unit)));
      field = hn::BitCast(d, hn::Shr(both, hn::Load(d64, kShifts)));
    } else {
      field = hn::LoadU(d, unit);
      if (i != 0) field = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d32, field)));
    }
  } else if constexpr (f == 2) {
    HWY_ALIGN static constexpr uint64_t kShifts[8] = {0, 0, 2, 2, 4, 4, 6, 6};
    const auto all = hn::BitCast(d64, hn::LoadDup128(d, unit));
    field = hn::BitCast(d, hn::Shr(all, hn::Load(d64, kShifts + i / 8)));
  } else {
    HWY_ALIGN static constexpr uint64_t kShifts[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const auto all = hn::Set(d64, Load<uint64_t>(reinterpret_cast<const std::byte*>(unit)));
    field = hn::BitCast(d, hn::Shr(all, hn::Load(d64, kShifts + i / 8)));
  }
  if constexpr (f != 8) field = hn::And(field, hn::Set(d, static_cast<uint8_t>((1 << f) - 1)));
  if constexpr (shift != 0) field = hn::BitCast(d, hn::ShiftLeft<shift>(hn::BitCast(d32, field)));
  return field;
}

// All codes of a unit of `bits` from the fields' rows.
template <int bits>
HWY_INLINE void UnpackWhole(const uint8_t* const* rows, uint64_t unit, uint8_t* codes) {
  const hn::ScalableTag<uint8_t> d;
  constexpr int kFirst = bits >= 8 ? 8 : bits >= 4 ? 4 : bits >= 2 ? 2 : 1;
  constexpr int kRest = bits - kFirst, kSecond = kRest >= 2 ? 2 : kRest;
  for (size_t i = 0; i < kPackUnit; i += hn::Lanes(d)) {
    auto code = FieldOf<kFirst, 0>(d, rows[0] + 8 * kFirst * unit, i);
    if constexpr (kSecond != 0) code = hn::Or(code, FieldOf<kSecond, kFirst>(d, rows[1] + 8 * kSecond * unit, i));
    if constexpr (kRest == 3) code = hn::Or(code, FieldOf<1, 6>(d, rows[2] + 8 * unit, i));
    hn::StoreU(code, d, codes + i);
  }
}

template <int bits>
void UnpackBits(const uint8_t* const* rows, uint64_t cols, uint8_t* codes) {
  uint64_t unit = 0;
  for (; unit < cols / kPackUnit; ++unit) UnpackWhole<bits>(rows, unit, codes + kPackUnit * unit);
  if (cols % kPackUnit == 0) return;
  uint8_t last[kPackUnit];
  UnpackWhole<bits>(rows, unit, last);
  std::memcpy(codes + kPackUnit * unit, last, cols % kPackUnit);
}

void UnpackRowTarget(const std::byte* const* rows, uint64_t cols, int bits, uint8_t* codes) {
  const uint8_t* at[kMaxFields] = {};
  for (size_t f = 0; f < FieldWidths(bits).size(); ++f) at[f] = reinterpret_cast<const uint8_t*>(rows[f]);
  switch (bits) {
    case 1:
      return UnpackBits<1>(at, cols, codes);
    case 2:
      return UnpackBits<2>(at, cols, codes);
    case 3:
      return UnpackBits<3>(at, cols, codes);
    case 4:
      return UnpackBits<4>(at, cols, codes);
    case 5:
      return UnpackBits<5>(at, cols, codes);
    case 6:
      return UnpackBits<6>(at, cols, codes);
    case 7:
      return UnpackBits<7>(at, cols, codes);
    default:
      return UnpackBits<8>(at, cols, codes);
  }
}
#else
void UnpackRowTarget(const std::byte* const* rows, uint64_t cols, int bits, uint8_t* codes) {
  const auto at = [rows](int i) { return reinterpret_cast<const uint8_t*>(rows[i]); };
  switch (bits) {
    case 1:
      return UnpackField<1, 0>(at(0), cols, codes);
    case 2:
      return UnpackField<2, 0>(at(0), cols, codes);
    case 3:
      return UnpackField<2, 0>(at(0), cols, codes), UnpackField<1, 2>(at(1), cols, codes);
    case 4:
      return UnpackField<4, 0>(at(0), cols, codes);
    case 5:
      return UnpackField<4, 0>(at(0), cols, codes), UnpackField<1, 4>(at(1), cols, codes);
    case 6:
      return UnpackField<4, 0>(at(0), cols, codes), UnpackField<2, 4>(at(1), cols, codes);
    case 7:
      return UnpackField<4, 0>(at(0), cols, codes), UnpackField<2, 4>(at(1), cols, codes),
             UnpackField<1, 6>(at(2), cols, codes);
    default:
      return UnpackField<8, 0>(at(0), cols, codes);
  }
}
#endif

void PackRowTarget(const uint8_t* codes, uint64_t cols, int bits, std::byte* const* rows) {
  const auto at = [rows](int i) { return reinterpret_cast<uint8_t*>(rows[i]); };
  switch (bits) {
    case 1:
      return PackField<1, 0>(codes, cols, at(0));
    case 2:
      return PackField<2, 0>(codes, cols, at(0));
    case 3:
      return PackField<2, 0>(codes, cols, at(0)), PackField<1, 2>(codes, cols, at(1));
    case 4:
      return PackField<4, 0>(codes, cols, at(0));
    case 5:
      return PackField<4, 0>(codes, cols, at(0)), PackField<1, 4>(codes, cols, at(1));
    case 6:
      return PackField<4, 0>(codes, cols, at(0)), PackField<2, 4>(codes, cols, at(1));
    case 7:
      return PackField<4, 0>(codes, cols, at(0)), PackField<2, 4>(codes, cols, at(1)),
             PackField<1, 6>(codes, cols, at(2));
    default:
      return PackField<8, 0>(codes, cols, at(0));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(PackRowTarget);
HWY_EXPORT(UnpackRowTarget);

void PackRow(const uint8_t* codes, uint64_t cols, int bits, std::span<std::byte* const> field_rows) {
  if (bits < 1 || bits > 8 || cols == 0) return;
  HWY_DYNAMIC_DISPATCH(PackRowTarget)(codes, cols, bits, field_rows.data());
}

void UnpackRow(std::span<const std::byte* const> field_rows, uint64_t cols, int bits, uint8_t* codes) {
  if (bits < 1 || bits > 8 || cols == 0) return;
  HWY_DYNAMIC_DISPATCH(UnpackRowTarget)(field_rows.data(), cols, bits, codes);
}

}  // namespace ingot
#endif  // HWY_ONCE

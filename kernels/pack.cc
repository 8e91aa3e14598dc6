#include "kernels/pack.h"

#include <cstring>

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

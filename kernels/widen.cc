#include "kernels/widen.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "format/bytes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/widen.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class Format>
void WidenAll(const std::byte* in, uint64_t count, float* out) {
  const DU16 du16;
  const DF df;
  const size_t lanes = hn::Lanes(df);
  uint64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(Format::Widen(LoadAnywhere(in + 2 * i)), df, out + i);
  if (i == count) return;
  HWY_ALIGN uint16_t last[hn::MaxLanes(DF())] = {};
  HWY_ALIGN float widened[hn::MaxLanes(DF())];
  std::memcpy(last, in + 2 * i, 2 * (count - i));
  hn::Store(Format::Widen(hn::Load(du16, last)), df, widened);
  std::memcpy(out + i, widened, sizeof(float) * (count - i));
}

template <class Format>
void NarrowAll(const float* in, uint64_t count, std::byte* out) {
  const DU16 du16;
  const DF df;
  const size_t lanes = hn::Lanes(df);
  uint64_t i = 0;
  for (; i + lanes <= count; i += lanes) StoreAnywhere(Format::Narrow(hn::LoadU(df, in + i)), out + 2 * i);
  if (i == count) return;
  HWY_ALIGN float last[hn::MaxLanes(DF())] = {};
  HWY_ALIGN uint16_t narrowed[hn::MaxLanes(DF())];
  std::memcpy(last, in + i, sizeof(float) * (count - i));
  hn::Store(Format::Narrow(hn::Load(df, last)), du16, narrowed);
  std::memcpy(out + 2 * i, narrowed, 2 * (count - i));
}

void WidenHalf(const std::byte* in, uint64_t count, float* out) { WidenAll<Half>(in, count, out); }
void WidenBrain(const std::byte* in, uint64_t count, float* out) { WidenAll<Brain>(in, count, out); }
void NarrowHalf(const float* in, uint64_t count, std::byte* out) { NarrowAll<Half>(in, count, out); }
void NarrowBrain(const float* in, uint64_t count, std::byte* out) { NarrowAll<Brain>(in, count, out); }

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(WidenHalf);
HWY_EXPORT(WidenBrain);
HWY_EXPORT(NarrowHalf);
HWY_EXPORT(NarrowBrain);

namespace {

using ByteTable = std::array<float, 256>;

template <float (*Decode)(uint8_t)>
const ByteTable& TableOf() {
  static const ByteTable table = [] {
    ByteTable values;
    for (size_t code = 0; code < values.size(); ++code) values[code] = Decode(static_cast<uint8_t>(code));
    return values;
  }();
  return table;
}

void WidenBytes(const ByteTable& table, const std::byte* in, uint64_t count, float* out) {
  for (uint64_t i = 0; i < count; ++i) out[i] = table[std::to_integer<size_t>(in[i])];
}

// f32 by rounding to odd: an inexact value gets an odd mantissa, so that a later rounding to fewer bits sees on which
// side of the middle it was (Boldo and Melquiond, "When double rounding is odd", 2005).
float RoundToOdd(double value) {
  const auto nearest = static_cast<float>(value);
  if (std::isnan(value) || static_cast<double>(nearest) == value) return nearest;
  auto bits = std::bit_cast<uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(value)) --bits;  // towards zero
  return std::bit_cast<float>(bits | 1);
}

}  // namespace

bool WidenToF32(DType type, const std::byte* in, uint64_t count, float* out) {
  switch (type) {
    case DType::kF32:
      if (count != 0) std::memcpy(out, in, count * sizeof(float));
      return true;
    case DType::kF16:
      HWY_DYNAMIC_DISPATCH(WidenHalf)(in, count, out);
      return true;
    case DType::kBF16:
      HWY_DYNAMIC_DISPATCH(WidenBrain)(in, count, out);
      return true;
    case DType::kF64:
      for (uint64_t i = 0; i < count; ++i) out[i] = static_cast<float>(Load<double>(in + 8 * i));
      return true;
    case DType::kF8E4M3:
      WidenBytes(TableOf<F8E4M3ToF32>(), in, count, out);
      return true;
    case DType::kF8E5M2:
      WidenBytes(TableOf<F8E5M2ToF32>(), in, count, out);
      return true;
    default:
      return false;
  }
}

bool NarrowFromF32(DType type, const float* in, uint64_t count, std::byte* out) {
  switch (type) {
    case DType::kF32:
      if (count != 0) std::memcpy(out, in, count * sizeof(float));
      return true;
    case DType::kF16:
      HWY_DYNAMIC_DISPATCH(NarrowHalf)(in, count, out);
      return true;
    case DType::kBF16:
      HWY_DYNAMIC_DISPATCH(NarrowBrain)(in, count, out);
      return true;
    default:
      return false;
  }
}

bool NarrowFromF64(DType type, const std::byte* in, uint64_t count, std::byte* out) {
  std::vector<float> values(count);
  for (uint64_t i = 0; i < count; ++i) {
    const double value = Load<double>(in + 8 * i);
    values[i] = type == DType::kF32 ? static_cast<float>(value) : RoundToOdd(value);
  }
  return NarrowFromF32(type, values.data(), count, out);
}

}  // namespace ingot
#endif  // HWY_ONCE

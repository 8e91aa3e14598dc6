// Writing past the caches, per SIMD target. Include after hwy/highway.h, in each pass of foreach_target.h.
#if defined(INGOT_KERNELS_LINE_WRITER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_LINE_WRITER_INL_H_
#undef INGOT_KERNELS_LINE_WRITER_INL_H_
#else
#define INGOT_KERNELS_LINE_WRITER_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Past the caches: a plain store would read the line first.
HWY_INLINE void StreamCopy(const std::byte* from, uint64_t bytes, std::byte* to) {
  const hn::ScalableTag<uint8_t> d;
  constexpr uint64_t kLine = 64;
  const uint64_t head = std::min<uint64_t>(bytes, (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine);
  std::memcpy(to, from, head);
  uint64_t i = head;
  for (; i + kLine <= bytes; i += kLine) {
    for (uint64_t j = 0; j < kLine; j += hn::Lanes(d))
      hn::Stream(hn::LoadU(d, reinterpret_cast<const uint8_t*>(from) + i + j), d,
                 reinterpret_cast<uint8_t*>(to) + i + j);
  }
  std::memcpy(to + i, from + i, bytes - i);
}

#if HWY_TARGET <= HWY_AVX2
// Writes vectors that follow each other past the caches, to any multiple of four bytes: each vector in memory is put
// together of two where they do not lie at multiples of their size. What is not a whole one at the ends is stored
// plainly; nothing else is touched.
class LineWriter {
 public:
  explicit HWY_INLINE LineWriter(void* out)
      : at_(static_cast<std::byte*>(out)), shift_(reinterpret_cast<uintptr_t>(out) / 4 % kLanes), head_(shift_ != 0) {
    HWY_ALIGN int32_t from[kLanes];
    for (size_t i = 0; i < kLanes; ++i) from[i] = static_cast<int32_t>((i + kLanes - shift_) % kLanes);
    rotation_ = hn::SetTableIndices(DU32(), from);
    old_ = hn::FirstN(DU32(), shift_);
    before_ = hn::Zero(DU32());
  }
  HWY_INLINE void Write(VU32 vector) {
    const DU32 d;
    const VU32 rotated = hn::TableLookupLanes(vector, rotation_);
    if (head_) {
      Plain(vector, at_, kLanes - shift_);
      head_ = false;
    } else {
      const VU32 whole = hn::IfThenElse(old_, before_, rotated);
      hn::Stream(whole, d, reinterpret_cast<uint32_t*>(at_ - 4 * shift_));
    }
    before_ = rotated;
    at_ += 4 * kLanes;
  }
  HWY_INLINE void Finish() { Plain(before_, at_ - 4 * shift_, shift_); }

 private:
  static constexpr size_t kLanes = hn::MaxLanes(DU32());
  // The first `count` lanes.
  static HWY_INLINE void Plain(VU32 vector, std::byte* to, size_t count) {
    HWY_ALIGN uint32_t lanes[kLanes];
    hn::Store(vector, DU32(), lanes);
    std::memcpy(to, lanes, 4 * count);
  }

  std::byte* at_;
  size_t shift_;  // lanes from a multiple of a vector's size to `out`
  bool head_;     // the first vector is to come, and not a whole one
  decltype(hn::SetTableIndices(DU32(), static_cast<const int32_t*>(nullptr))) rotation_;
  hn::Mask<DU32> old_;
  VU32 before_;
};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#endif

#include "convert/import/unpack_kernels.h"

#include <cstring>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "convert/import/unpack_kernels.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
void TransposeOneByOne(const T* in, uint64_t rows, uint64_t cols, uint64_t stride, T* out, uint64_t out_stride) {
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c)
      std::memcpy(reinterpret_cast<char*>(out + c * out_stride + r), reinterpret_cast<const char*>(in + r * stride + c),
                  sizeof(T));
  }
}

// Vectors of 16 bytes, which every target but the one without vectors has; those of unknown size cannot lie in arrays.
#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
constexpr bool kHasBlocks = false;
#else
constexpr bool kHasBlocks = true;
#endif

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
template <typename T>
using Block = hn::Vec<hn::FixedTag<T, 16 / sizeof(T)>>;

// Row i and row i + n/2 change into rows 2i and 2i+1, their elements by turns. log2(n) such rounds transpose.
template <typename T, size_t... i>
HWY_INLINE void Interleave(const Block<T>* a, Block<T>* b, std::index_sequence<i...>) {
  const hn::FixedTag<T, 16 / sizeof(T)> d;
  constexpr size_t kHalf = sizeof...(i);
  ((b[2 * i] = hn::InterleaveLower(d, a[i], a[i + kHalf]), b[2 * i + 1] = hn::InterleaveUpper(d, a[i], a[i + kHalf])),
   ...);
}

// n by n elements, n of them 16 bytes.
template <typename T, size_t... i>
HWY_INLINE void TransposeBlock(const T* in, uint64_t stride, T* out, uint64_t out_stride, std::index_sequence<i...>) {
  constexpr size_t kSide = sizeof...(i);
  const hn::FixedTag<T, kSide> d;
  const std::make_index_sequence<kSide / 2> half;
  Block<T> a[kSide], b[kSide];
  ((a[i] = hn::LoadU(d, in + i * stride)), ...);
  Interleave<T>(a, b, half);
  Interleave<T>(b, a, half);
  if constexpr (kSide == 4) {
    (hn::StoreU(a[i], d, out + i * out_stride), ...);
  } else {
    Interleave<T>(a, b, half);
    if constexpr (kSide == 16) Interleave<T>(b, a, half);
    (hn::StoreU(kSide == 16 ? a[i] : b[i], d, out + i * out_stride), ...);
  }
}

HWY_INLINE void UnpackNibbleRuns(NibbleOrder order, const uint8_t* in, uint64_t count, uint8_t* codes) {
  const hn::FixedTag<uint8_t, 16> d;
  alignas(16) static constexpr uint8_t kEvenOdd[16] = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
  const auto low = hn::Set(d, uint8_t{15}), places = hn::Load(d, kEvenOdd);
  for (uint64_t i = 0; i < count; i += kNibbleRun, in += kNibbleRun / 2) {
    const auto bytes = hn::LoadU(d, in);
    auto first = hn::And(bytes, low), second = hn::ShiftRight<4>(bytes);
    if (order == NibbleOrder::kHighFirst) {
      const auto high = second;
      second = first;
      first = high;
    }
    auto a = hn::InterleaveLower(d, first, second), b = hn::InterleaveUpper(d, first, second);
    if (order == NibbleOrder::kEvenOdd) {
      a = hn::TableLookupBytes(a, places);
      b = hn::TableLookupBytes(b, places);
    }
    hn::StoreU(a, d, codes + i);
    hn::StoreU(b, d, codes + i + 16);
  }
}
#endif

template <typename T>
void TransposeTiles(const T* in, uint64_t rows, uint64_t cols, uint64_t stride, T* out, uint64_t out_stride) {
  constexpr uint64_t kSide = 16 / sizeof(T);
  const uint64_t whole_rows = kHasBlocks ? rows / kSide * kSide : 0, whole_cols = cols / kSide * kSide;
#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
  // A tile is turned in the first-level cache: rows that lie a power of two apart would push each other out of it while
  // they are written 16 bytes at a time.
  constexpr uint64_t kTile = 64;
  T tile[kTile * kTile];
  for (uint64_t c0 = 0; c0 < whole_cols; c0 += kTile) {
    const uint64_t width = HWY_MIN(kTile, whole_cols - c0);
    for (uint64_t r0 = 0; r0 < whole_rows; r0 += kTile) {
      const uint64_t height = HWY_MIN(kTile, whole_rows - r0);
      for (uint64_t r = 0; r < height; r += kSide) {
        for (uint64_t c = 0; c < width; c += kSide)
          TransposeBlock(in + (r0 + r) * stride + c0 + c, stride, tile + c * kTile + r, kTile,
                         std::make_index_sequence<kSide>());
      }
      for (uint64_t c = 0; c < width; ++c)
        std::memcpy(reinterpret_cast<char*>(out + (c0 + c) * out_stride + r0),
                    reinterpret_cast<const char*>(tile + c * kTile), height * sizeof(T));
    }
  }
#endif
  TransposeOneByOne(in + whole_cols, whole_rows, cols - whole_cols, stride, out + whole_cols * out_stride, out_stride);
  TransposeOneByOne(in + whole_rows * stride, rows - whole_rows, cols, stride, out + whole_rows, out_stride);
}

template <typename T>
void TransposeAs(const std::byte* in, uint64_t rows, uint64_t cols, uint64_t stride, std::byte* out,
                 uint64_t out_stride) {
  TransposeTiles(reinterpret_cast<const T*>(in), rows, cols, stride, reinterpret_cast<T*>(out), out_stride);
}

void TransposeTarget(int element_size, const std::byte* in, uint64_t rows, uint64_t cols, uint64_t stride,
                     std::byte* out, uint64_t out_stride) {
  switch (element_size) {
    case 1:
      return TransposeAs<uint8_t>(in, rows, cols, stride, out, out_stride);
    case 2:
      return TransposeAs<uint16_t>(in, rows, cols, stride, out, out_stride);
    default:
      return TransposeAs<uint32_t>(in, rows, cols, stride, out, out_stride);
  }
}

void UnpackNibblesTarget(NibbleOrder order, const std::byte* in, uint64_t count, uint8_t* codes) {
#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
  UnpackNibbleRuns(order, reinterpret_cast<const uint8_t*>(in), count, codes);
#else
  constexpr uint8_t kEvenOdd[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = order == NibbleOrder::kEvenOdd     ? i / 8 * 8 + kEvenOdd[i % 8]
                        : order == NibbleOrder::kHighFirst ? i ^ 1
                                                           : i;
    codes[i] = static_cast<uint8_t>(std::to_integer<uint32_t>(in[at / 2]) >> (4 * (at % 2)) & 15);
  }
#endif
}

// codes[i] = the lowest bits of word i, moved down by `shift`.
HWY_INLINE void TakeBits(const std::byte* words, uint64_t count, int shift, uint32_t mask, uint8_t* codes) {
  const hn::CappedTag<int32_t, 16> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  uint64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto wide = hn::LoadU(du, reinterpret_cast<const uint32_t*>(words + 4 * i));
    const auto code = hn::And(hn::ShiftRightSame(wide, shift), hn::Set(du, mask));
    hn::StoreU(hn::DemoteTo(d8, hn::BitCast(d, code)), d8, codes + i);
  }
  for (; i < count; ++i) {
    uint32_t word;
    std::memcpy(&word, words + 4 * i, sizeof word);
    codes[i] = static_cast<uint8_t>(word >> shift & mask);
  }
}

void UnpackWordColumnsTarget(const WordColumns& columns, uint64_t count, uint8_t* codes, uint64_t out_stride) {
  const uint32_t mask = (1u << columns.bits) - 1;
  const std::byte* words = columns.words;
  for (uint64_t i = 0; i < count; words += 4 * columns.stride) {
    for (uint64_t j = 0; j < columns.shifts.size() && i < count; ++j, ++i, codes += out_stride)
      TakeBits(words, columns.lines, columns.shifts[j], mask, codes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(TransposeTarget);
HWY_EXPORT(UnpackNibblesTarget);
HWY_EXPORT(UnpackWordColumnsTarget);

void TransposeElements(int element_size, const std::byte* in, uint64_t rows, uint64_t cols, uint64_t stride,
                       std::byte* out, uint64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(TransposeTarget)(element_size, in, rows, cols, stride, out, out_stride);
}

void UnpackNibbles(NibbleOrder order, const std::byte* in, uint64_t count, uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(UnpackNibblesTarget)(order, in, count, codes);
}

void UnpackWordColumns(const WordColumns& columns, uint64_t count, uint8_t* codes, uint64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(UnpackWordColumnsTarget)(columns, count, codes, out_stride);
}

}  // namespace ingot
#endif  // HWY_ONCE

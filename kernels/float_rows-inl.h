// Few rows of activations times weights that are plain floats, widened in registers, per SIMD target. Include after
// hwy/highway.h, in each pass of foreach_target.h.
#if defined(INGOT_KERNELS_FLOAT_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_FLOAT_ROWS_INL_H_
#undef INGOT_KERNELS_FLOAT_ROWS_INL_H_
#else
#define INGOT_KERNELS_FLOAT_ROWS_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "format/bytes.h"
#include "format/checked.h"
#include "format/dtype.h"
#include "hwy/highway.h"
#include "kernels/dot-inl.h"
#include "kernels/half-inl.h"
#include "kernels/in_parts.h"
#include "kernels/product.h"

INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A type of weights.
struct WideFloats {
  static constexpr uint64_t kSize = 4;
  static HWY_INLINE VF At(const std::byte* w) {
#if HWY_TARGET == HWY_SCALAR  // would dereference a pointer at any address
    return hn::Set(DF(), Load<float>(w));
#else
    return hn::LoadU(DF(), reinterpret_cast<const float*>(w));
#endif
  }
  static float One(const std::byte* w) { return Load<float>(w); }
};
struct HalfFloats {
  static constexpr uint64_t kSize = 2;
  static HWY_INLINE VF At(const std::byte* w) { return Half::Widen(LoadAnywhere(w)); }
  static float One(const std::byte* w) { return F16ToF32(Load<uint16_t>(w)); }
};
struct BrainFloats {
  static constexpr uint64_t kSize = 2;
  static HWY_INLINE VF At(const std::byte* w) { return Brain::Widen(LoadAnywhere(w)); }
  static float One(const std::byte* w) { return BF16ToF32(Load<uint16_t>(w)); }
};

// Dot products of kRows rows of weights with kX rows of activations: sums[r * kX + n].
template <class Floats, int kRows, int kX>
void DotFloats(const std::byte* const* w, const float* x, uint64_t x_stride, uint64_t count, float* sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  constexpr int kEach = kRows * kX == 1 ? 4 : 2;  // sums of each, since each waits for itself
  VF sum[kRows][kX][kEach];
  INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
    INGOT_UNROLL for (int n = 0; n < kX; ++n) {
      INGOT_UNROLL for (int k = 0; k < kEach; ++k) sum[r][n][k] = hn::Zero(df);
    }
  }
  uint64_t i = 0;
  for (; i + kEach * lanes <= count; i += kEach * lanes) {
    INGOT_UNROLL for (int k = 0; k < kEach; ++k) {
      const uint64_t at = i + static_cast<uint64_t>(k) * lanes;
      VF values[kX];
      INGOT_UNROLL for (int n = 0; n < kX; ++n) values[n] = hn::LoadU(df, x + static_cast<uint64_t>(n) * x_stride + at);
      INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
        const VF v = Floats::At(w[r] + Floats::kSize * at);
        INGOT_UNROLL for (int n = 0; n < kX; ++n) sum[r][n][k] = hn::MulAdd(v, values[n], sum[r][n][k]);
      }
    }
  }
  INGOT_UNROLL for (int r = 0; r < kRows; ++r) {
    INGOT_UNROLL for (int n = 0; n < kX; ++n) {
      float& total = sums[r * kX + n];
      VF all = hn::Add(sum[r][n][0], sum[r][n][1]);
      if constexpr (kEach == 4) all = hn::Add(all, hn::Add(sum[r][n][2], sum[r][n][3]));
      total = hn::GetLane(hn::SumOfLanes(df, all));
      for (uint64_t c = i; c < count; ++c)
        total += Floats::One(w[r] + Floats::kSize * c) * x[static_cast<uint64_t>(n) * x_stride + c];
    }
  }
}

// Rows [begin, end) of the slice with kX rows of activations from `first_x` on, by way of four that lie far apart: one
// row after the other reads memory more slowly.
template <class Floats, int kX>
void MultiplyFloatRows(const std::byte* weights, uint64_t row_bytes, uint64_t begin, uint64_t end, uint64_t columns,
                       const Product& p, uint64_t first_x) {
  constexpr uint64_t kRows = 4;
  const uint64_t stride = CeilDiv(end - begin, kRows);
  for (uint64_t i = 0; i < stride; ++i) {
    const std::byte* w[kRows];
    uint64_t rows[kRows];
    for (uint64_t r = 0; r < kRows; ++r) {
      rows[r] = std::min(begin + r * stride + i, end - 1);  // beyond the end: the last one once more
      w[r] = weights + rows[r] * row_bytes;
    }
    float sums[kRows * kX];
    DotFloats<Floats, kRows, kX>(w, p.x + first_x * p.x_stride, p.x_stride, columns, sums);
    for (uint64_t r = 0; r < kRows && begin + r * stride + i < end; ++r) {
      for (uint64_t n = 0; n < kX; ++n) {
        float& y = p.y[(first_x + n) * p.y_stride + rows[r]];
        y = p.add ? y + sums[r * kX + n] : sums[r * kX + n];
      }
    }
  }
}

template <class Floats>
void MultiplyFewFloats(const std::byte* weights, uint64_t columns, const MatrixSlice& slice, const Product& p) {
  const std::byte* first = weights + (slice.row * columns + slice.column) * Floats::kSize;
  InEqualParts(slice.rows, 4, slice.rows * slice.columns, [&](uint64_t begin, uint64_t end) {
    uint64_t n = 0;
    for (; n + 2 <= p.x_rows; n += 2)
      MultiplyFloatRows<Floats, 2>(first, columns * Floats::kSize, begin, end, slice.columns, p, n);
    if (n < p.x_rows) MultiplyFloatRows<Floats, 1>(first, columns * Floats::kSize, begin, end, slice.columns, p, n);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#endif

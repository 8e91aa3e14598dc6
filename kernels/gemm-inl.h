// Products with many rows of activations, per SIMD target: a block of weight rows at a time is decoded (to f32) or
// unpacked (to bytes) into cache, and multiplied there with panels of activations. Include after hwy/highway.h, in each
// pass of foreach_target.h.
#if defined(INGOT_KERNELS_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_GEMM_INL_H_
#undef INGOT_KERNELS_GEMM_INL_H_
#else
#define INGOT_KERNELS_GEMM_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstring>

#include "format/checked.h"
#include "hwy/aligned_allocator.h"
#include "hwy/highway.h"
#include "kernels/dot-inl.h"
#include "kernels/half-inl.h"
#include "kernels/product.h"

INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kPanel = 2 * hn::MaxLanes(DF());                // activations side by side: two vectors
inline constexpr size_t kTileRows = hn::MaxLanes(DF()) >= 16 ? 12 : 6;  // rows of weights whose sums fit the registers
inline constexpr size_t kTileQuadRows = hn::MaxLanes(DF()) >= 16 ? 12 : 4;
inline constexpr uint64_t kBlockRows = 4 * kTileRows;  // decoded at a time
inline constexpr uint64_t kBlockCols = 512;

// ---- f32

// Activations by panels: x[n][k] at ((n / kPanel) * columns + k) * kPanel + n % kPanel, zeros up to a whole panel.
HWY_INLINE void PackPanels(const float* x, uint64_t stride, uint64_t rows, uint64_t columns, float* out) {
  for (uint64_t first = 0; first < rows; first += kPanel, out += columns * kPanel) {
    const uint64_t count = std::min<uint64_t>(kPanel, rows - first);
    if (count < kPanel) std::memset(out, 0, columns * kPanel * sizeof(float));
    for (uint64_t k0 = 0; k0 < columns; k0 += 16) {  // a line of each row at a time
      const uint64_t k1 = std::min<uint64_t>(columns, k0 + 16);
      for (uint64_t n = 0; n < count; ++n) {
        const float* row = x + (first + n) * stride;
        for (uint64_t k = k0; k < k1; ++k) out[k * kPanel + n] = row[k];
      }
    }
  }
}

// sums[r][0 .. kPanel) += w[r][0 .. columns) times the panel, for kRows rows.
template <size_t kRows>
void TileF32(const float* w, uint64_t w_stride, const float* panel, uint64_t columns, float* sums, uint64_t stride) {
  const DF df;
  constexpr size_t kLanes = hn::MaxLanes(DF());
  VF sum[kRows][2];
  INGOT_UNROLL for (size_t r = 0; r < kRows; ++r) {
    sum[r][0] = hn::LoadU(df, sums + r * stride);
    sum[r][1] = hn::LoadU(df, sums + r * stride + kLanes);
  }
  for (uint64_t k = 0; k < columns; ++k) {
    const VF x0 = hn::Load(df, panel + k * kPanel), x1 = hn::Load(df, panel + k * kPanel + kLanes);
    INGOT_UNROLL for (size_t r = 0; r < kRows; ++r) {
      const VF v = hn::Set(df, w[r * w_stride + k]);
      sum[r][0] = hn::MulAdd(v, x0, sum[r][0]);
      sum[r][1] = hn::MulAdd(v, x1, sum[r][1]);
    }
  }
  INGOT_UNROLL for (size_t r = 0; r < kRows; ++r) {
    hn::StoreU(sum[r][0], df, sums + r * stride);
    hn::StoreU(sum[r][1], df, sums + r * stride + kLanes);
  }
}

// The same for any number of rows.
HWY_INLINE void TilesF32(const float* w, uint64_t w_stride, uint64_t rows, const float* panel, uint64_t columns,
                         float* sums, uint64_t stride) {
  uint64_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows)
    TileF32<kTileRows>(w + r * w_stride, w_stride, panel, columns, sums + r * stride, stride);
  for (; r + 2 <= rows; r += 2) TileF32<2>(w + r * w_stride, w_stride, panel, columns, sums + r * stride, stride);
  for (; r < rows; ++r) TileF32<1>(w + r * w_stride, w_stride, panel, columns, sums + r * stride, stride);
}

// y[n][r] = or += sums[r][n].
HWY_INLINE void StoreTransposed(const float* sums, uint64_t stride, uint64_t rows, uint64_t x_rows, float* y,
                                uint64_t y_stride, bool add) {
  for (uint64_t n = 0; n < x_rows; ++n) {
    for (uint64_t r = 0; r < rows; ++r) {
      float& to = y[n * y_stride + r];
      to = add ? to + sums[r * stride + n] : sums[r * stride + n];
    }
  }
}

// ---- integers

#if INGOT_INTEGER_DOTS
// Activations in bytes by panels, four columns together: x[n][k] at
// (((n / kPanel) * quads + k / 4) * kPanel + n % kPanel) * 4 + k % 4.
HWY_INLINE void PackQuads(const int8_t* x, uint64_t columns, uint64_t n, uint64_t quads, int8_t* out) {
  int8_t* to = out + (n / kPanel * quads * kPanel + n % kPanel) * 4;
  for (uint64_t k = 0; k < columns; k += 4, to += 4 * kPanel)
    std::memcpy(to, x + k, std::min<uint64_t>(4, columns - k));
}

HWY_INLINE VB LoadQuads(const int8_t* at) { return hn::BitCast(DB(), hn::Load(hn::RebindToSigned<DB>(), at)); }
HWY_INLINE VB RepeatQuad(const uint8_t* codes) {
  return hn::BitCast(DB(), hn::Set(DB32(), Load<uint32_t>(reinterpret_cast<const std::byte*>(codes))));
}

// The integer sums of one group for kRows rows: codes[r][0 .. 4 quads) with the panel, added.
template <size_t kRows, int kMost>
HWY_INLINE void TileQuads(const uint8_t* codes, uint64_t codes_stride, const int8_t* panel, uint64_t quads,
                          VSum (&sum)[kRows][2]) {
  uint64_t q = 0;
#if !INGOT_VNNI
  if constexpr (kMost * 254 * 2 < 32768) {  // two quads in 16 bits before they are widened
    for (; q + 2 <= quads; q += 2) {
      const int8_t* at = panel + q * 4 * kPanel;
      const VB x0 = LoadQuads(at), x1 = LoadQuads(at + kVectorBytes), x2 = LoadQuads(at + 4 * kPanel),
               x3 = LoadQuads(at + 4 * kPanel + kVectorBytes);
      INGOT_UNROLL for (size_t r = 0; r < kRows; ++r) {
        const VB u = RepeatQuad(codes + r * codes_stride + 4 * q), v = RepeatQuad(codes + r * codes_stride + 4 * q + 4);
        sum[r][0] = AddPairs(sum[r][0], hn::Add(PairProducts(u, x0), PairProducts(v, x2)));
        sum[r][1] = AddPairs(sum[r][1], hn::Add(PairProducts(u, x1), PairProducts(v, x3)));
      }
    }
  }
#endif
  for (; q < quads; ++q) {
    const VB x0 = LoadQuads(panel + q * 4 * kPanel), x1 = LoadQuads(panel + q * 4 * kPanel + kVectorBytes);
    INGOT_UNROLL for (size_t r = 0; r < kRows; ++r) {
      const VB u = RepeatQuad(codes + r * codes_stride + 4 * q);
      sum[r][0] = AddProducts<kMost>(sum[r][0], u, x0);
      sum[r][1] = AddProducts<kMost>(sum[r][1], u, x1);
    }
  }
}

// The operands of the rows of a block, `across` groups apart from row to row.
struct BlockOperands {
  const float *s, *z;
  uint64_t across;
};

// Of one group and one panel, kPanel of each: where integer sums start, which is -z X for a zero-point that all groups
// share, and X, the sums of x, for others.
struct GroupOfX {
  const int32_t* starts;
  const float* sums;
};

// sums[r][n] += s (codes . x - z X) for group `group`. kVaries: zero-points have an array.
template <size_t kRows, int kMost, bool kVaries>
void TileGroup(const uint8_t* codes, uint64_t codes_stride, const BlockOperands& operands, uint64_t group,
               const int8_t* panel, uint64_t quads, const GroupOfX& of_x, float* sums, uint64_t stride) {
  const DF df;
  const DSum di;
  constexpr size_t kLanes = hn::MaxLanes(DF());
  VSum sum[kRows][2];
  INGOT_UNROLL for (size_t r = 0; r < kRows; ++r) {
    sum[r][0] = hn::Load(di, of_x.starts), sum[r][1] = hn::Load(di, of_x.starts + kLanes);
  }
  TileQuads<kRows, kMost>(codes, codes_stride, panel, quads, sum);
  INGOT_UNROLL for (size_t r = 0; r < kRows; ++r) {
    const uint64_t at = r * operands.across + group;
    const VF s = hn::Set(df, operands.s[at]), z = kVaries ? hn::Set(df, operands.z[at]) : s;
    INGOT_UNROLL for (size_t half = 0; half < 2; ++half) {
      float* to = sums + r * stride + half * kLanes;
      VF value = hn::ConvertTo(df, sum[r][half]);
      if constexpr (kVaries) value = hn::NegMulAdd(z, hn::Load(df, of_x.sums + half * kLanes), value);
      hn::StoreU(hn::MulAdd(s, value, hn::LoadU(df, to)), df, to);
    }
  }
}

template <int kMost, bool kVaries>
void TilesGroup(const uint8_t* codes, uint64_t codes_stride, uint64_t rows, BlockOperands operands, uint64_t group,
                const int8_t* panel, uint64_t quads, const GroupOfX& of_x, float* sums, uint64_t stride) {
  const auto run = [&]<size_t kRows>(std::integral_constant<size_t, kRows>) HWY_ATTR {
    TileGroup<kRows, kMost, kVaries>(codes, codes_stride, operands, group, panel, quads, of_x, sums, stride);
    codes += kRows * codes_stride, sums += kRows * stride, rows -= kRows;
    operands.s += kRows * operands.across, operands.z += kRows * operands.across;
  };
  while (rows >= kTileQuadRows) run(std::integral_constant<size_t, kTileQuadRows>());
  while (rows >= 2) run(std::integral_constant<size_t, 2>());
  while (rows >= 1) run(std::integral_constant<size_t, 1>());
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#endif

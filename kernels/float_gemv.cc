#include <vector>

#include "kernels/gemv.h"
#include "kernels/in_parts.h"

// Fewer targets to compile: the others' products go by way of decoded rows.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/float_gemv.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/float_gemv-inl.h"

INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {

#if INGOT_INTEGER_DOTS
template <int kBits, bool kTables>
bool MultiplyFloatsBy(const IntegerWeights& w, const Product& p) {
  std::vector<FloatsOfX> x;
  for (uint64_t n = 0; n < p.x_rows; ++n) x.push_back(MakeFloats<kBits, kTables>(w, p.x + n * p.x_stride));
  InEqualParts(w.slice.rows, 4, w.slice.rows * w.slice.columns, [&](uint64_t begin, uint64_t end) {
    uint64_t n = 0;
    for (; n + 4 <= p.x_rows; n += 4)
      MultiplyRows<FloatArithmetic<kBits, kTables, 4, 2>>(w, x.data() + n, begin, end, p, n);
    for (; n < p.x_rows; ++n) MultiplyRows<FloatArithmetic<kBits, kTables, 1, 4>>(w, x.data() + n, begin, end, p, n);
  });
  return true;
}

template <int kBits>
bool MultiplyFloats(const IntegerWeights& w, const Product& p) {
  if (!HasLayout<kBits>(w)) return false;
  constexpr bool kOneTable = (size_t{1} << kBits) <= kFloats;
  // Zero-points for which a table is needed at once.
  const bool several = w.varies && SumsOf<kBits>(w) != SumKind::kGroup;
  if (w.matrix->linear.codebook || (kOneTable && !several)) {
    if constexpr (kBits <= 4) return !several && MultiplyFloatsBy<kBits, true>(w, p);
    return false;
  }
  return MultiplyFloatsBy<kBits, false>(w, p);
}

bool MultiplyFewF32Target(const IntegerWeights& w, const Product& p) {
  switch (w.matrix->linear.bits) {
    case 2:
      return MultiplyFloats<2>(w, p);
    case 3:
      return MultiplyFloats<3>(w, p);
    case 4:
      return MultiplyFloats<4>(w, p);
    case 5:
      return MultiplyFloats<5>(w, p);
    case 6:
      return MultiplyFloats<6>(w, p);
    case 8:
      return MultiplyFloats<8>(w, p);
    default:
      return false;
  }
}
#else
bool MultiplyFewF32Target(const IntegerWeights&, const Product&) { return false; }
#endif

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(MultiplyFewF32Target);

bool MultiplyFewF32(const IntegerWeights& weights, const Product& product) {
  return HWY_DYNAMIC_DISPATCH(MultiplyFewF32Target)(weights, product);
}

}  // namespace ingot
#endif  // HWY_ONCE

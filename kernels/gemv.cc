#include "kernels/gemv.h"

#include <vector>

#include "kernels/in_parts.h"

// AVX-512 without VNNI gains little over AVX2 here.
#define HWY_WANT_AVX3_DL
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemv.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"
#include "kernels/gemv-inl.h"

INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {

#if INGOT_INTEGER_DOTS
template <int kBits, bool kBook, int kPlanes>
bool Multiply(const IntegerWeights& w, const Product& p) {
  if (!HasLayout<kBits>(w)) return false;
  std::vector<BytesOfX> x;
  for (uint64_t n = 0; n < p.x_rows; ++n) x.push_back(MakeBytes<kBits, kBook, kPlanes>(w, p.x + n * p.x_stride));
  InEqualParts(w.slice.rows, 4, w.slice.rows * w.slice.columns, [&](uint64_t begin, uint64_t end) {
    uint64_t n = 0;
    if constexpr (kBits == 2 || kBits == 3 || kBits == 4 || kBits == 8) {  // the usual ones also by four activations
      constexpr int kFourRows = kVectorBytes == 64 ? 2 : 1;
      for (; n + 4 <= p.x_rows; n += 4)
        MultiplyRows<IntegerArithmetic<kBits, kBook, kPlanes, 4, kFourRows>>(w, x.data() + n, begin, end, p, n);
    }
    for (; n < p.x_rows; ++n)
      MultiplyRows<IntegerArithmetic<kBits, kBook, kPlanes, 1, 4>>(w, x.data() + n, begin, end, p, n);
  });
  return true;
}

template <int kPlanes>
bool MultiplyFewOf(const IntegerWeights& w, const Product& p) {
  const bool book = w.matrix->linear.codebook;
  switch (w.matrix->linear.bits) {
    case 1:
      return !book && Multiply<1, false, kPlanes>(w, p);
    case 2:
      return book ? Multiply<2, true, 1>(w, p) : Multiply<2, false, kPlanes>(w, p);
    case 3:
      return book ? Multiply<3, true, 1>(w, p) : Multiply<3, false, kPlanes>(w, p);
    case 4:
      return book ? Multiply<4, true, 1>(w, p) : Multiply<4, false, kPlanes>(w, p);
    case 5:
      return Multiply<5, false, kPlanes>(w, p);
    case 6:
      return Multiply<6, false, kPlanes>(w, p);
    case 7:
      return Multiply<7, false, kPlanes>(w, p);
    default:
      return Multiply<8, false, kPlanes>(w, p);
  }
}

bool MultiplyFewTarget(const IntegerWeights& w, const Product& p) {
  return p.precision == Precision::kInt16 ? MultiplyFewOf<2>(w, p) : MultiplyFewOf<1>(w, p);
}
#else
bool MultiplyFewTarget(const IntegerWeights&, const Product&) { return false; }
#endif

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(MultiplyFewTarget);

bool MultiplyFewIntegers(const IntegerWeights& weights, const Product& product) {
  return HWY_DYNAMIC_DISPATCH(MultiplyFewTarget)(weights, product);
}

}  // namespace ingot
#endif  // HWY_ONCE

// The nearest entry of a 16-entry codebook, in SIMD. Included once for each target, inside no namespace.
#if defined(INGOT_BOOK_SEARCH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_BOOK_SEARCH_INL_H
#undef INGOT_BOOK_SEARCH_INL_H
#else
#define INGOT_BOOK_SEARCH_INL_H
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {

// Maps x to results[number of thresholds that x is greater than]; the 15 thresholds ascend. The same on every target;
// only the way there differs: a binary search by register permutes where a vector has 16 or 8 lanes, else 15
// comparisons.
class BookSearch {
  using D = hwy::HWY_NAMESPACE::CappedTag<float, 16>;
  using DI = hwy::HWY_NAMESPACE::RebindToSigned<D>;
  using V = hwy::HWY_NAMESPACE::Vec<D>;
  using VI = hwy::HWY_NAMESPACE::Vec<DI>;

 public:
#if HWY_TARGET <= HWY_AVX3
  HWY_INLINE BookSearch(const float* thresholds, const float* results) {
    HWY_ALIGN float padded[16];
    for (size_t i = 0; i < 16; ++i) padded[i] = thresholds[i < 15 ? i : 14];
    thresholds_ = hwy::HWY_NAMESPACE::Load(D(), padded);
    results_ = hwy::HWY_NAMESPACE::LoadU(D(), results);
    middle_ = hwy::HWY_NAMESPACE::Set(D(), thresholds[7]);
  }

  HWY_INLINE V Nearest(V x) const {
    namespace hn = hwy::HWY_NAMESPACE;
    const DI di;
    VI at = hn::IfThenElseZero(hn::RebindMask(di, hn::Gt(x, middle_)), hn::Set(di, 8));
    at = Step<4>(x, at);
    at = Step<2>(x, at);
    at = Step<1>(x, at);
    return hn::TableLookupLanes(results_, hn::IndicesFromVec(D(), at));
  }

 private:
  template <int step>
  HWY_INLINE VI Step(V x, VI at) const {
    namespace hn = hwy::HWY_NAMESPACE;
    const DI di;
    const VI probe = hn::Add(at, hn::Set(di, step - 1));
    const V threshold = hn::TableLookupLanes(thresholds_, hn::IndicesFromVec(D(), probe));
    return hn::IfThenElse(hn::RebindMask(di, hn::Gt(x, threshold)), hn::Add(at, hn::Set(di, step)), at);
  }

  V thresholds_, results_, middle_;
#elif HWY_TARGET == HWY_AVX2
  HWY_INLINE BookSearch(const float* thresholds, const float* results) {
    namespace hn = hwy::HWY_NAMESPACE;
    const float third[8] = {thresholds[1], thresholds[5], thresholds[9], thresholds[13]};
    float fourth[8];
    for (size_t i = 0; i < 8; ++i) fourth[i] = thresholds[2 * i];
    const D d;
    first_ = hn::Set(d, thresholds[7]);
    second_low_ = hn::Set(d, thresholds[3]);
    second_high_ = hn::Set(d, thresholds[11]);
    third_ = hn::LoadU(d, third);
    fourth_ = hn::LoadU(d, fourth);
    low_ = hn::LoadU(d, results);
    high_ = hn::LoadU(d, results + 8);
  }

  HWY_INLINE V Nearest(V x) const {
    namespace hn = hwy::HWY_NAMESPACE;
    const DI di;
    const auto upper = hn::Gt(x, first_);
    // A mask is -1: an index doubles and takes the next mask away.
    const VI one = hn::Sub(hn::Zero(di), hn::VecFromMask(di, hn::RebindMask(di, upper)));
    const VI two = Next(one, x, hn::IfThenElse(upper, second_high_, second_low_));
    const VI three = Next(two, x, Lookup(third_, two));
    const VI all = Next(three, x, Lookup(fourth_, three));
    const VI within = hn::And(all, hn::Set(di, 7));
    return hn::IfThenElse(upper, Lookup(high_, within), Lookup(low_, within));
  }

 private:
  static HWY_INLINE V Lookup(V table, VI at) {
    namespace hn = hwy::HWY_NAMESPACE;
    return hn::TableLookupLanes(table, hn::IndicesFromVec(D(), at));
  }
  static HWY_INLINE VI Next(VI at, V x, V threshold) {
    namespace hn = hwy::HWY_NAMESPACE;
    const DI di;
    return hn::Sub(hn::Add(at, at), hn::VecFromMask(di, hn::RebindMask(di, hn::Gt(x, threshold))));
  }

  V first_, second_low_, second_high_, third_, fourth_, low_, high_;
#else
  HWY_INLINE BookSearch(const float* thresholds, const float* results) : thresholds_(thresholds), results_(results) {}

  HWY_INLINE V Nearest(V x) const {
    namespace hn = hwy::HWY_NAMESPACE;
    const D d;
    V result = hn::Set(d, results_[0]);
    for (size_t i = 0; i < 15; ++i) {
      result = hn::IfThenElse(hn::Gt(x, hn::Set(d, thresholds_[i])), hn::Set(d, results_[i + 1]), result);
    }
    return result;
  }

 private:
  const float *thresholds_, *results_;
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#endif

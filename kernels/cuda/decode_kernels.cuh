// The instantiations of the decoding kernels for one output type, by what a step asks for. Included by decode_f32.cu
// and its like, a file for each output type.
#pragma once

#include "kernels/cuda/decode_any.cuh"
#include "kernels/cuda/decode_flat.cuh"
#include "kernels/cuda/decode_raw.cuh"
#include "kernels/cuda/decode_step.h"
#include "kernels/cuda/outliers.cuh"

namespace ingot::cuda {

template <class Out, class Way>
DecodeFunction FlatFunction(Grouping grouping) {
  return grouping == Grouping::kHalfUnits ? &DecodeFlat<Out, Way, Grouping::kHalfUnits>
                                          : &DecodeFlat<Out, Way, Grouping::kUnits>;
}

template <int kBits, class Out, bool kWide>
DecodeFunction NibblesFunction(Grouping grouping) {
  using Way = ByNibbles<kBits, Out, kWide>;
  if constexpr (kBits == 4) {
    if (grouping == Grouping::kPairs) return &DecodeFlat<Out, Way, Grouping::kPairs>;
  }
  return FlatFunction<Out, Way>(grouping);
}

template <int kBits, class Out>
DecodeFunction FunctionFor(const DecodeStep& step) {
  constexpr bool kF16Out = Out::kType == kF16;
  const Grouping g = step.grouping;
  switch (step.kernel) {
    case DecodeKernel::kHalves:
      if constexpr (kF16Out) return FlatFunction<Out, ByHalves<kBits, Out>>(g);
      break;
    case DecodeKernel::kNibbles:
      if constexpr (kF16Out && kBits <= 4) return NibblesFunction<kBits, Out, false>(g);
      break;
    case DecodeKernel::kWideNibbles:
      if constexpr (kF16Out && kBits <= 4) return NibblesFunction<kBits, Out, true>(g);
      break;
    case DecodeKernel::kSimpleFloats:
      return FlatFunction<Out, ByFloats<kBits, Out, true>>(g);
    case DecodeKernel::kFloats:
      return FlatFunction<Out, ByFloats<kBits, Out, false>>(g);
    case DecodeKernel::kCodebook:
      if constexpr (kBits == 4 || kBits == 8) return FlatFunction<Out, ByCodebook<kBits, Out>>(g);
      break;
    case DecodeKernel::kOutliers:
      return &AddOutliers<Out>;
    case DecodeKernel::kAny:
      return &DecodeAny<kBits, Out>;
    case DecodeKernel::kRaw:
      break;
  }
  return nullptr;  // no plan asks for it
}

template <class Out>
DecodeFunction RawFunctionFor(Type type) {
  static constexpr DecodeFunction kOfType[6] = {&DecodeRaw<kF32, Out>,    &DecodeRaw<kF16, Out>,
                                                &DecodeRaw<kBF16, Out>,   &DecodeRaw<kF64, Out>,
                                                &DecodeRaw<kF8E4M3, Out>, &DecodeRaw<kF8E5M2, Out>};
  return kOfType[type];
}

template <class Out>
DecodeFunction FunctionFor(const DecodeStep& step) {
  if (step.kernel == DecodeKernel::kRaw) return RawFunctionFor<Out>(step.params.matrix.raw_type);
  static constexpr DecodeFunction (*kOfBits[8])(const DecodeStep&) = {
      &FunctionFor<1, Out>, &FunctionFor<2, Out>, &FunctionFor<3, Out>, &FunctionFor<4, Out>,
      &FunctionFor<5, Out>, &FunctionFor<6, Out>, &FunctionFor<7, Out>, &FunctionFor<8, Out>};
  return kOfBits[step.params.matrix.root.bits - 1](step);
}

}  // namespace ingot::cuda

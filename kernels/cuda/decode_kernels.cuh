// The instantiations of the decoding kernels, by what a step asks for.
#pragma once

#include "kernels/cuda/decode_any.cuh"
#include "kernels/cuda/decode_plan.h"
#include "kernels/cuda/outliers.cuh"

namespace ingot::cuda {

using DecodeFunction = void (*)(DecodeParams);

template <class Out>
DecodeFunction FunctionFor(const DecodeStep& step) {
  if (step.kernel == DecodeKernel::kOutliers) return &AddOutliers<Out>;
  static constexpr DecodeFunction kAny[8] = {&DecodeAny<1, Out>, &DecodeAny<2, Out>, &DecodeAny<3, Out>,
                                             &DecodeAny<4, Out>, &DecodeAny<5, Out>, &DecodeAny<6, Out>,
                                             &DecodeAny<7, Out>, &DecodeAny<8, Out>};
  return kAny[step.params.matrix.root.bits - 1];
}

inline DecodeFunction FunctionFor(const DecodeStep& step) {
  if (step.out == DType::kF16) return FunctionFor<F16Out>(step);
  if (step.out == DType::kBF16) return FunctionFor<BF16Out>(step);
  return FunctionFor<F32Out>(step);
}

}  // namespace ingot::cuda

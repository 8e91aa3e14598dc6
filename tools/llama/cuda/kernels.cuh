// All kernels: included once by kernels.cu, and by the tests for their executor.
#pragma once

#include "tools/llama/cuda/attention.cuh"
#include "tools/llama/cuda/rows.cuh"

namespace llama::gpu {

template <class Value>
inline constexpr Kernels kKernels = {
    &Norm<Value>, &AddRows, &SwiGlu<Value>, &TurnAndStore<Value>, &Attend<Value>, &CombineAttention<Value>, &Losses,
};

const Kernels& KernelsFor(Half half) { return half == Half::kF16 ? kKernels<F16Value> : kKernels<BF16Value>; }

}  // namespace llama::gpu

// One launch of a decoding kernel: which one, how many threads, its parameters. Plain values, for host code and for the
// files that nvcc compiles, which get along with little of the rest (fmt is not for them).
#pragma once

#include <cstdint>

#include "format/dtype.h"
#include "kernels/cuda/decode_params.h"

namespace ingot::cuda {

// The kernels, and for DecodeFlat the ways (kernels/cuda/decode_ways.cuh).
enum class DecodeKernel : uint8_t {
  kAny,
  kHalves,
  kNibbles,
  kWideNibbles,
  kSimpleFloats,
  kFloats,
  kCodebook,
  kOutliers,
  kRaw,
};

// One launch.
struct DecodeStep {
  DecodeKernel kernel = DecodeKernel::kAny;
  Grouping grouping = Grouping::kHalfUnits;
  uint32_t grid = 1, block = kDecodeThreads, shared_bytes = 0;
  DType out = DType::kF32;
  DecodeParams params;
};

// The kernel of a step, defined where kernels are compiled: by nvcc in ingot_kernels, by the host's compiler for the
// executor in the tests. Null where it is not instantiated, which no plan asks for.
using DecodeFunction = void (*)(DecodeParams);
DecodeFunction F32FunctionFor(const DecodeStep& step);
DecodeFunction F16FunctionFor(const DecodeStep& step);
DecodeFunction BF16FunctionFor(const DecodeStep& step);
inline DecodeFunction FunctionFor(const DecodeStep& step) {
  if (step.out == DType::kF16) return F16FunctionFor(step);
  return step.out == DType::kBF16 ? BF16FunctionFor(step) : F32FunctionFor(step);
}

}  // namespace ingot::cuda

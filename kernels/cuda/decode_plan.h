// How a matrix is decoded on a device: the checks that come before every launch, and the kernels with their parameters.
// Plain C++, the same for CUDA and for the executor of the tests. Thread-safe: values only.
#pragma once

#include <cstdint>
#include <vector>

#include "format/dtype.h"
#include "format/status.h"
#include "kernels/cuda/decode_params.h"
#include "kernels/matrix.h"

namespace ingot::cuda {

// The view of a matrix whose planes have copies on a device. `matrix` looks at the host's copies, the very bytes that
// lie on the device: their sizes are checked against the shape, and each index in them against its bounds, so that no
// file can make a kernel leave its planes. Refuses what is wrong with kBadInput.
Result<MatrixView> MakeMatrixView(const EncodedMatrix& matrix, const DeviceAddress& device_address);

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
};

// One launch.
struct DecodeStep {
  DecodeKernel kernel = DecodeKernel::kAny;
  Grouping grouping = Grouping::kHalfUnits;
  uint32_t grid = 1, block = kDecodeThreads, shared_bytes = 0;
  DType out = DType::kF32;
  DecodeParams params;
};

// The launches, one after the other, that write elements [first, first + count) of the view, as `type` (kF32, kF16 or
// kBF16), to `out` on the device, aligned to its elements. The range must lie in the view.
// `multiprocessors`: how many the device has.
std::vector<DecodeStep> PlanDecode(const MatrixView& matrix, uint64_t first, uint64_t count, DType type, void* out,
                                   uint32_t multiprocessors);

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

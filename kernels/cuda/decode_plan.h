// How a matrix is decoded on a device: the checks that come before every launch, and the kernels with their parameters.
// Plain C++, the same for CUDA and for the executor of the tests. Thread-safe: values only.
#pragma once

#include <cstdint>
#include <vector>

#include "format/dtype.h"
#include "format/status.h"
#include "kernels/cuda/decode_step.h"
#include "kernels/matrix.h"

namespace ingot::cuda {

// The view of a matrix whose planes have copies on a device. `matrix` looks at the host's copies, the very bytes that
// lie on the device: their sizes are checked against the shape, and each index in them against its bounds, so that no
// file can make a kernel leave its planes. Refuses what is wrong with kBadInput.
Result<MatrixView> MakeMatrixView(const EncodedMatrix& matrix, const DeviceAddress& device_address);

// The view of rows by columns elements that lie on the device as they are, `stride` of them from one row to the next
// (fewer than a row has, if only a slice of columns is there); `elements`: where the first row is or would be.
// kUnsupported: a type that is no F32, F16, BF16, F64, F8_E4M3,
// F8_E5M2.
Result<MatrixView> MakeRawView(DType type, uint64_t rows, uint64_t columns, uint64_t stride, const void* elements);

// Whether the slice lies in the view: kUsage if not.
Status CheckSlice(const MatrixView& matrix, const MatrixSlice& slice);

// The launches, one after the other, that write a slice of the view, as `type` (kF32, kF16 or kBF16), to `out` on the
// device, aligned to its elements: (r, c) to element (r - slice.row) * stride + c - slice.column. The slice must lie in
// the view. `multiprocessors`: how many the device has. At most three, and one for outliers.
std::vector<DecodeStep> PlanDecode(const MatrixView& matrix, const MatrixSlice& slice, DType type, void* out,
                                   uint64_t stride, uint32_t multiprocessors);
// The same for elements [first, first + count) of the view in row-major order, without gaps.
std::vector<DecodeStep> PlanDecode(const MatrixView& matrix, uint64_t first, uint64_t count, DType type, void* out,
                                   uint32_t multiprocessors);

}  // namespace ingot::cuda

// Decoding rows of an encoded matrix to f32, f16 or bf16, in SIMD. The bits are those of the reference
// (kernels/matrix.h) on every target.
#pragma once

#include <cstdint>

#include "format/dtype.h"
#include "kernels/matrix.h"

namespace ingot {

// Elements [first, first + count) of the view in row-major order, rounded once more to `type` (kF32, kF16 or kBF16), to
// `out`, aligned to its elements. `stream`: the output is larger than the caches, its lines are written past them. One
// thread. Thread-safe.
void DecodeTo(const EncodedMatrix& matrix, uint64_t first, uint64_t count, DType type, void* out, bool stream = false);

// Stored columns [begin, begin + columns) of rows [row, row + rows) of a root's view, as f32, before permutation, t, h
// and the rounding to the result type: (r, c) goes to out[r * stride + c]. One thread. Thread-safe.
void DecodeStored(const EncodedMatrix& matrix, uint64_t row, uint64_t rows, uint64_t begin, uint64_t columns,
                  float* out, uint64_t stride);

}  // namespace ingot

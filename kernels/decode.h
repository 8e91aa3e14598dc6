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

}  // namespace ingot

// Conversions between stored floats and f32, in SIMD. The same bits as format/dtype.h, on every target; a NaN stays a
// NaN, its payload may differ. Thread-safe: pure functions; no alignment is needed; input and output may not overlap.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/dtype.h"

namespace ingot {

// Widens `count` elements of a real floating type to f32: exact, subnormals kept; F64 is rounded to nearest even (to
// infinity where it does not fit). F32, F16, BF16, F64, F8_E4M3 and F8_E5M2 are supported; returns false, with nothing
// written, for others.
bool WidenToF32(DType type, const std::byte* in, uint64_t count, float* out);

// Rounds `count` f32 values to F16 or BF16, to nearest even (F16: overflow gives infinity), or copies them for F32.
// Returns false, with nothing written, for other types.
bool NarrowFromF32(DType type, const float* in, uint64_t count, std::byte* out);

// The same from `count` stored F64 values, rounded once: by way of f32 a value near the middle of two halfs would be
// rounded twice.
bool NarrowFromF64(DType type, const std::byte* in, uint64_t count, std::byte* out);

}  // namespace ingot

// The 8-bit and 4-bit floating types that peers store weights and scales in, as codebooks: entry i is the value of code
// i. Constants; thread-safe.
#pragma once

#include <vector>

#include "format/dtype.h"

namespace ingot {

// Of kF8E4M3, kF8E5M2, kF8E4M3Fnuz, kF8E5M2Fnuz and kF8E8M0 (2^(e - 127), 255 is NaN); empty for other types.
std::vector<float> Float8Codebook(DType type);
// E2M1 of the OCP microscaling formats: 0 0.5 1 1.5 2 3 4 6 and their negatives, -0 among them.
std::vector<float> E2M1Codebook();

}  // namespace ingot

// The two 4-bit codebooks, NF4 and FP4 of bitsandbytes, and how the nearest entry is found. Constants; thread-safe.
#pragma once

#include <array>
#include <cstdint>

#include "convert/method.h"

namespace ingot {

struct Codebook {
  std::array<float, 16> values;  // what each code means: the m(q) of the formula
  uint8_t zero_code;             // the code that means +0
  // For the encoder. The code of x is sorted_codes[number of thresholds that x is greater than]: the nearest entry, and
  // of two at the same distance the lower one (a threshold is the exact midpoint, rounded down to f32). The entry -0 of
  // FP4 is left out; the last threshold is infinite there.
  std::array<float, 15> thresholds;
  std::array<uint8_t, 16> sorted_codes;
  std::array<float, 16> sorted_values;
};

// The codebook of kNf4 or kFp4; that of kNf4 for any other kind.
const Codebook& CodebookOf(MethodKind kind);

}  // namespace ingot

// Loops that the compiler turns into vector instructions. The program is built for the oldest processors of its
// architecture; functions marked LLAMA_CLONES are compiled for newer ones too, and the loader takes the best that the
// processor has. None of them contracts a product and a sum into one operation, so all give the same bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#define LLAMA_INLINE inline __attribute__((always_inline))

#if defined(__SANITIZE_ADDRESS__)
#define LLAMA_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LLAMA_SANITIZED 1
#endif
#endif
#if defined(__x86_64__) && !defined(LLAMA_SANITIZED)  // the choice runs before a sanitizer is ready
#define LLAMA_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LLAMA_CLONES
#endif

namespace llama {

// e^x within 1 unit in the last place, for x from -87.3 to 88.3; beyond that the value at this bound. std::exp is as
// good, but cannot be vectorized, and softmax and SwiGLU would take a tenth of the time with it.
LLAMA_INLINE float Exp(float x) {
  x = std::clamp(x, -87.3f, 88.3f);  // a NaN stays one
  // x = n ln 2 + r with a whole n. Adding 1.5 * 2^23 rounds to whole numbers, which then stand in the low bits.
  const float shifted = x * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts; the first product is exact
  float sum = 1.9875691500e-4f;                                 // Cephes' polynomial for (e^r - 1 - r) / r^2
  sum = sum * r + 1.3981999507e-3f;
  sum = sum * r + 8.3334519073e-3f;
  sum = sum * r + 4.1665795894e-2f;
  sum = sum * r + 1.6666665459e-1f;
  sum = sum * r + 5.0000001201e-1f;
  sum = sum * r * r + r + 1.0f;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127) << 23;  // 2^n
  return sum * std::bit_cast<float>(exponent);
}

}  // namespace llama

// What the primitives of kernels/cuda/primitives.cuh mean, for the executor. Included by that file where no CUDA
// compiler is at work; the functions and their order are those of its other half.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "format/dtype.h"
#include "tests/simt/executor.h"

#define INGOT_DEVICE inline
#define INGOT_UNROLL
#define INGOT_KERNEL(threads, blocks) inline void
#define INGOT_SHARED(type, name, count) \
  static const char name##_key = 0;     \
  type* const name = static_cast<type*>(::ingot::simt::SharedMemory(&name##_key, sizeof(type) * (count)))
#define INGOT_DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::ingot::simt::DynamicSharedMemory())

namespace ingot::cuda {

inline uint32_t ThreadIndex() { return simt::ThreadIndex(); }
inline uint32_t BlockIndex() { return simt::BlockIndex(); }
inline uint32_t BlockSize() { return simt::BlockSize(); }
inline uint32_t GridSize() { return simt::GridSize(); }

// ---- memory

template <class T>
__attribute__((always_inline)) inline T LoadGlobal(const void* at) {
  simt::CheckGlobalRead(at, sizeof(T));
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <class T, int kOffset>
__attribute__((always_inline)) inline T LoadOnce(const void* at) {
  return LoadGlobal<T>(static_cast<const std::byte*>(at) + kOffset);
}
template <class T>
__attribute__((always_inline)) inline void StoreGlobal(void* at, T value) {
  simt::CheckGlobalWrite(at, sizeof(T));
  std::memcpy(at, &value, sizeof value);
}
template <int kOffset>
__attribute__((always_inline)) inline void StoreWords(void* at, const Words4& value) {
  StoreGlobal(static_cast<std::byte*>(at) + kOffset, value);
}
template <class T>
__attribute__((always_inline)) inline T LoadShared(const T* at) {
  simt::CheckSharedRead(at, sizeof(T));
  return *at;
}
template <class T>
__attribute__((always_inline)) inline void StoreShared(T* at, T value) {
  simt::CheckSharedWrite(at, sizeof(T));
  *at = value;
}
inline void CopyAsync16(void* shared, const void* global) { simt::CopyAsync(shared, global, 16); }
inline void CommitCopies() { simt::CommitCopies(); }
template <int kOpen>
inline void WaitForCopies() {
  simt::WaitForCopies(kOpen);
}

// ---- threads with one another

inline void BlockBarrier() { simt::BlockBarrier(); }
inline void WarpBarrier() { simt::WarpBarrier(~0u); }
inline uint32_t Shuffle(uint32_t value, uint32_t lane) { return simt::Shuffle(~0u, value, lane & 31u); }
inline uint32_t ShuffleXor(uint32_t value, uint32_t bits) { return simt::Shuffle(~0u, value, simt::Lane() ^ bits); }

// ---- bits

inline uint32_t AsBits(float value) { return std::bit_cast<uint32_t>(value); }
inline float AsFloat(uint32_t bits) { return std::bit_cast<float>(bits); }
inline double AsDouble(uint64_t bits) { return std::bit_cast<double>(bits); }
inline uint32_t Keep(uint32_t value) { return value; }
template <uint32_t kB, uint32_t kSelector>
inline uint32_t Permute(uint32_t a) {
  const uint64_t bytes = static_cast<uint64_t>(kB) << 32 | a;
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const uint32_t nibble = kSelector >> (4 * i) & 15u;
    uint32_t byte = static_cast<uint32_t>(bytes >> (8 * (nibble & 7u))) & 0xFFu;
    if ((nibble & 8u) != 0) byte = (byte & 0x80u) != 0 ? 0xFFu : 0u;
    result |= byte << (8 * i);
  }
  return result;
}
template <int kByte>
inline float ByteAndMagic(uint32_t bytes) {
  return AsFloat(Permute<0x4B000000u, 0x7440u + kByte>(bytes));
}
template <uint32_t kMask>
inline uint32_t AndOr(uint32_t a, uint32_t b) {
  return (a & kMask) | b;
}
inline uint64_t MultiplyHigh(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(a) * b) >> 64);
}

// ---- f32: one rounding each

inline float Add(float a, float b) { return a + b; }
inline float Subtract(float a, float b) { return a - b; }
inline float Multiply(float a, float b) { return a * b; }
inline float MultiplyAdd(float a, float b, float c) { return std::fma(a, b, c); }

// ---- f16 and bf16, in their 16 bits; two of them in 32, the first one low

inline float F16AsF32(uint16_t h) { return F16ToF32(h); }
inline uint16_t F32AsF16(float f) { return F32ToF16(f); }
inline uint16_t F32AsBF16(float f) { return F32ToBF16(f); }
inline uint32_t F32sAsF16s(float first, float second) {
  return F32ToF16(first) | static_cast<uint32_t>(F32ToF16(second)) << 16;
}
inline uint32_t F32sAsBF16s(float first, float second) {
  return F32ToBF16(first) | static_cast<uint32_t>(F32ToBF16(second)) << 16;
}

// a * b + c, rounded once to f16. The sum in f64 is rounded to odd first, so that the second rounding is the only one.
inline uint16_t F16MultiplyAdd(uint16_t a, uint16_t b, uint16_t c) {
  const double product = static_cast<double>(F16ToF32(a)) * F16ToF32(b), addend = F16ToF32(c);
  double sum = product + addend;
  if (!std::isfinite(sum)) return F32ToF16(static_cast<float>(sum));
  const double part = sum - product, error = (product - (sum - part)) + (addend - part);
  if (error != 0 && (std::bit_cast<uint64_t>(sum) & 1u) == 0)
    sum = std::nextafter(sum, error > 0 ? HUGE_VAL : -HUGE_VAL);
  if (sum == 0) return F32ToF16(static_cast<float>(sum));
  const int exponent = std::max(std::ilogb(sum), -14);
  return F32ToF16(static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(sum, 10 - exponent)), exponent - 10)));
}
inline uint32_t F16sMultiplyAdd(uint32_t a, uint32_t b, uint32_t c) {
  const auto low = [](uint32_t v) { return static_cast<uint16_t>(v); };
  const auto high = [](uint32_t v) { return static_cast<uint16_t>(v >> 16); };
  return F16MultiplyAdd(low(a), low(b), low(c)) | static_cast<uint32_t>(F16MultiplyAdd(high(a), high(b), high(c)))
                                                      << 16;
}
inline uint32_t F16sSubtract(uint32_t a, uint32_t b) { return F16sMultiplyAdd(a, 0x3C003C00u, b ^ 0x80008000u); }
inline uint32_t F16sMultiply(uint32_t a, uint32_t b) {
  // Minus zero is what does not change the sign of a zero product.
  return F16sMultiplyAdd(a, b, 0x80008000u);
}

}  // namespace ingot::cuda

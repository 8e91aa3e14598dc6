// What products need beyond primitives.cuh: tensor cores, copies that may be cut short, logic with a mask. sm_75 has
// its own wrappers: products of 8 columns of k at a time, none of bf16.
#pragma once

#include "kernels/cuda/primitives.cuh"

#ifndef __CUDACC__
#include "tests/simt/tensor.h"
#else

namespace ingot::cuda {

// 16 bytes to shared memory without waiting, zeros unless `whole`; then nothing is read.
INGOT_DEVICE void CopyAsync16OrZeros(void* shared, const void* global, bool whole) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(global), "r"(whole ? 16 : 0)
      : "memory");
#else
  *static_cast<Words4*>(shared) = whole ? LoadGlobal<Words4>(global) : Words4{};
#endif
}

// The same, whole, with offsets that the instruction adds.
template <int kTo, int kFrom>
INGOT_DEVICE void CopyAsync16At(void* shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "cp.async.cg.shared.global [%0+%2], [%1+%3], 16;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(global), "n"(kTo), "n"(kFrom)
      : "memory");
#else
  const auto* from = static_cast<const unsigned char*>(global) + kFrom;
  *reinterpret_cast<Words4*>(static_cast<unsigned char*>(shared) + kTo) = LoadGlobal<Words4>(from);
#endif
}

// Byte i of the result is the byte of (a, b) that nibble i of the selector names, 0 to 7.
INGOT_DEVICE uint32_t PermuteWords(uint32_t a, uint32_t b, uint32_t selector) { return __byte_perm(a, b, selector); }
// The bits of kMask from `a`, the others from `rest`.
template <uint32_t kMask>
INGOT_DEVICE uint32_t Select(uint32_t a, uint32_t rest) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xCA;" : "=r"(d) : "n"(kMask), "r"(a), "r"(rest));
  return d;
}
// a & kMask | kBits.
template <uint32_t kMask, uint32_t kBits>
INGOT_DEVICE uint32_t MaskedWith(uint32_t a) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(d) : "r"(a), "n"(kMask), "n"(kBits));
  return d;
}

INGOT_DEVICE uint32_t BF16sMultiplyAdd(uint32_t a, uint32_t b, uint32_t c) {
#if __CUDA_ARCH__ >= 800
  uint32_t d;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
#else
  const auto one = [](uint32_t x, uint32_t y, uint32_t z) {
    return F32AsBF16(__fmaf_rn(__uint_as_float(x), __uint_as_float(y), __uint_as_float(z)));
  };
  constexpr uint32_t kHigh = 0xFFFF0000u;
  return one(a << 16, b << 16, c << 16) | static_cast<uint32_t>(one(a & kHigh, b & kHigh, c & kHigh)) << 16;
#endif
}

// d += a b for 16 rows of a, 8 columns of b, 16 of k, in the places that mma.m16n8k16 has for them.
INGOT_DEVICE void MultiplyTilesF16(float* d, const uint32_t* a, const uint32_t* b) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  INGOT_UNROLL
  for (int k = 0; k < 2; ++k) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[2 * k]), "r"(a[2 * k + 1]), "r"(b[k]));
  }
#endif
}
// The same for d that was 0.
INGOT_DEVICE void BeginTilesF16(float* d, const uint32_t* a, const uint32_t* b) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(0.0f));
#else
  d[0] = d[1] = d[2] = d[3] = 0.0f;
  MultiplyTilesF16(d, a, b);
#endif
}
INGOT_DEVICE void MultiplyTilesBF16(float* d, const uint32_t* a, const uint32_t* b) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(d[0]), "f"(d[1]), "f"(d[2]), "f"(d[3]));
#else
  // By shuffles: right, and no plan asks for it.
  const uint32_t lane = ThreadIndex() % kWarp, row = lane / 4 * 4, column = lane % 4 * 8;
  const auto dot = [](float sum, uint32_t x, uint32_t y) {
    sum = MultiplyAdd(AsFloat(x << 16), AsFloat(y << 16), sum);
    return MultiplyAdd(AsFloat(x & 0xFFFF0000u), AsFloat(y & 0xFFFF0000u), sum);
  };
#pragma unroll 1
  for (uint32_t k = 0; k < 8; ++k) {
    const uint32_t from = k % 4, high = k / 4;
    const uint32_t a0 = Shuffle(high != 0 ? a[2] : a[0], row + from), a1 = Shuffle(high != 0 ? a[3] : a[1], row + from);
    const uint32_t b0 = Shuffle(high != 0 ? b[1] : b[0], column + from);
    const uint32_t b1 = Shuffle(high != 0 ? b[1] : b[0], column + 4 + from);
    d[0] = dot(d[0], a0, b0), d[1] = dot(d[1], a0, b1), d[2] = dot(d[2], a1, b0), d[3] = dot(d[3], a1, b1);
  }
#endif
}
// The same of bytes, 32 of k, `a` without a sign and `b` with one, in the places of mma.m16n8k32; exact.
INGOT_DEVICE void MultiplyTilesInt8(int32_t* d, const uint32_t* a, const uint32_t* b) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  INGOT_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int rows = i % 2, k = i / 2;
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+r"(d[2 * rows]), "+r"(d[2 * rows + 1])
                 : "r"(a[2 * k + rows]), "r"(b[k]));
  }
#endif
}

}  // namespace ingot::cuda

#endif  // __CUDACC__

// Every instruction that C++ has no word for, behind a small function: loads with cache hints, copies that do not wait,
// shuffles, permutations of bytes, arithmetic on pairs of f16. The kernels are written with these alone; where no CUDA
// compiler is at work, they get the same functions for the executor that the tests run them under.
#pragma once

#include <cstdint>

#include "kernels/cuda/matrix_view.h"

namespace ingot::cuda {

struct alignas(8) Words2 {
  uint32_t word[2];
};
struct alignas(16) Words4 {
  uint32_t word[4];
};

}  // namespace ingot::cuda

#ifndef __CUDACC__
#include "tests/simt/device.h"
#else

#define INGOT_DEVICE __device__ __forceinline__
#define INGOT_UNROLL _Pragma("unroll")
// `blocks`: of these, at least, a multiprocessor should have room for the registers.
#define INGOT_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define INGOT_SHARED(type, name, count) __shared__ type name[count]
#define INGOT_DYNAMIC_SHARED(type, name)                         \
  extern __shared__ __align__(16) unsigned char name##_memory[]; \
  type* const name = reinterpret_cast<type*>(name##_memory)

namespace ingot::cuda {

INGOT_DEVICE uint32_t ThreadIndex() { return threadIdx.x; }
INGOT_DEVICE uint32_t BlockIndex() { return blockIdx.x; }
INGOT_DEVICE uint32_t BlockSize() { return blockDim.x; }
INGOT_DEVICE uint32_t GridSize() { return gridDim.x; }

// ---- memory. Loads of what no kernel writes while this one runs.

// Likely to be wanted again by others.
template <class T>
INGOT_DEVICE T LoadGlobal(const void* at);
template <>
INGOT_DEVICE uint8_t LoadGlobal(const void* at) {
  uint32_t v;
  asm("ld.global.nc.u8 %0, [%1];" : "=r"(v) : "l"(at));
  return static_cast<uint8_t>(v);
}
template <>
INGOT_DEVICE uint16_t LoadGlobal(const void* at) {
  uint16_t v;
  asm("ld.global.nc.u16 %0, [%1];" : "=h"(v) : "l"(at));
  return v;
}
template <>
INGOT_DEVICE uint32_t LoadGlobal(const void* at) {
  uint32_t v;
  asm("ld.global.nc.u32 %0, [%1];" : "=r"(v) : "l"(at));
  return v;
}
template <>
INGOT_DEVICE uint64_t LoadGlobal(const void* at) {
  uint64_t v;
  asm("ld.global.nc.u64 %0, [%1];" : "=l"(v) : "l"(at));
  return v;
}
template <>
INGOT_DEVICE Words2 LoadGlobal(const void* at) {
  Words2 v;
  asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(v.word[0]), "=r"(v.word[1]) : "l"(at));
  return v;
}
template <>
INGOT_DEVICE Words4 LoadGlobal(const void* at) {
  Words4 v;
  asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
      : "l"(at));
  return v;
}

// Read by one warp alone: the lines may leave the caches. kOffset bytes further on.
template <class T, int kOffset>
INGOT_DEVICE T LoadOnce(const void* at) {
  T v;
  if constexpr (sizeof(T) == 8) {
    asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2+%3];"
        : "=r"(v.word[0]), "=r"(v.word[1])
        : "l"(at), "n"(kOffset));
  } else {
    static_assert(sizeof(T) == 4);
    asm("ld.global.nc.L1::no_allocate.u32 %0, [%1+%2];" : "=r"(v) : "l"(at), "n"(kOffset));
  }
  return v;
}

template <class T>
INGOT_DEVICE void StoreGlobal(void* at, T value) {
  *static_cast<T*>(at) = value;
}
template <int kOffset>
INGOT_DEVICE void StoreWords(void* at, const Words4& v) {
  asm volatile("st.global.v4.u32 [%0+%5], {%1, %2, %3, %4};" ::"l"(at), "r"(v.word[0]), "r"(v.word[1]), "r"(v.word[2]),
               "r"(v.word[3]), "n"(kOffset)
               : "memory");
}

template <class T>
INGOT_DEVICE T LoadShared(const T* at) {
  return *at;
}
template <class T>
INGOT_DEVICE void StoreShared(T* at, T value) {
  *at = value;
}

// 16 bytes to shared memory without waiting. sm_75 has no such copy: it waits.
INGOT_DEVICE void CopyAsync16(void* shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(global)
      : "memory");
#else
  *static_cast<Words4*>(shared) = LoadGlobal<Words4>(global);
#endif
}
INGOT_DEVICE void CommitCopies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kOpen>
INGOT_DEVICE void WaitForCopies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kOpen) : "memory");
#endif
}

// ---- threads with one another

INGOT_DEVICE void BlockBarrier() { __syncthreads(); }
INGOT_DEVICE void WarpBarrier() { __syncwarp(); }
INGOT_DEVICE uint32_t Shuffle(uint32_t value, uint32_t lane) {
  uint32_t d;
  asm volatile("shfl.sync.idx.b32 %0, %1, %2, 31, 0xFFFFFFFF;" : "=r"(d) : "r"(value), "r"(lane));
  return d;
}
INGOT_DEVICE uint32_t ShuffleXor(uint32_t value, uint32_t bits) {
  return __shfl_xor_sync(~0u, value, static_cast<int>(bits));
}

// ---- bits

INGOT_DEVICE uint32_t AsBits(float value) { return __float_as_uint(value); }
INGOT_DEVICE float AsFloat(uint32_t bits) { return __uint_as_float(bits); }
INGOT_DEVICE double AsDouble(uint64_t bits) { return __longlong_as_double(static_cast<long long>(bits)); }
// The same value, which the compiler does not make again in a loop: it keeps it.
INGOT_DEVICE uint32_t Keep(uint32_t value) {
  uint32_t d;
  asm("mov.b32 %0, %1;" : "=r"(d) : "r"(value));
  return d;
}
// Byte i of the result is the byte of (a, kB) that nibble i of the selector names, 0 to 7.
template <uint32_t kB, uint32_t kSelector>
INGOT_DEVICE uint32_t Permute(uint32_t a) {
  uint32_t d;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "n"(kB), "n"(kSelector));
  return d;
}
// 2^23 + byte kByte: the f32 with these bits.
template <int kByte>
INGOT_DEVICE float ByteAndMagic(uint32_t bytes) {
  float f;
  asm("prmt.b32 %0, %1, 0x4B000000, %2;" : "=f"(f) : "r"(bytes), "n"(0x7440 + kByte));
  return f;
}
// a & kMask | b.
template <uint32_t kMask>
INGOT_DEVICE uint32_t AndOr(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(d) : "r"(a), "n"(kMask), "r"(b));
  return d;
}
INGOT_DEVICE uint64_t MultiplyHigh(uint64_t a, uint64_t b) { return __umul64hi(a, b); }

// ---- f32: one rounding each, subnormals kept

INGOT_DEVICE float Add(float a, float b) { return __fadd_rn(a, b); }
INGOT_DEVICE float Subtract(float a, float b) { return __fsub_rn(a, b); }
INGOT_DEVICE float Multiply(float a, float b) { return __fmul_rn(a, b); }
INGOT_DEVICE float MultiplyAdd(float a, float b, float c) { return __fmaf_rn(a, b, c); }

// ---- f16 and bf16, in their 16 bits; two of them in 32, the first one low

INGOT_DEVICE float F16AsF32(uint16_t h) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
  return f;
}
INGOT_DEVICE uint16_t F32AsF16(float f) {
  uint16_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
  return h;
}
INGOT_DEVICE uint16_t F32AsBF16(float f) {
#if __CUDA_ARCH__ >= 800
  uint16_t b;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(b) : "f"(f));
  return b;
#else
  const uint32_t bits = __float_as_uint(f);
  const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  return static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40u : rounded);
#endif
}
INGOT_DEVICE uint32_t F32sAsF16s(float first, float second) {
#if __CUDA_ARCH__ >= 800
  uint32_t d;
  asm("cvt.rn.f16x2.f32 %0, %2, %1;" : "=r"(d) : "f"(first), "f"(second));
  return d;
#else
  return F32AsF16(first) | static_cast<uint32_t>(F32AsF16(second)) << 16;
#endif
}
INGOT_DEVICE uint32_t F32sAsBF16s(float first, float second) {
#if __CUDA_ARCH__ >= 800
  uint32_t d;
  asm("cvt.rn.bf16x2.f32 %0, %2, %1;" : "=r"(d) : "f"(first), "f"(second));
  return d;
#else
  return F32AsBF16(first) | static_cast<uint32_t>(F32AsBF16(second)) << 16;
#endif
}

INGOT_DEVICE uint32_t F16sMultiplyAdd(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
INGOT_DEVICE uint32_t F16sSubtract(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
INGOT_DEVICE uint32_t F16sMultiply(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}

}  // namespace ingot::cuda

#endif  // __CUDACC__

namespace ingot::cuda {

// A number that is known when it is compiled, as a type.
template <int kValue>
struct Number {
  INGOT_DEVICE constexpr operator int() const { return kValue; }
};

// Calls step(number 0), ..., step(number kCount - 1).
template <int kCount, int kFirst = 0, class Step>
INGOT_DEVICE void ForEach(const Step& step) {
  if constexpr (kFirst < kCount) {
    step(Number<kFirst>());
    ForEach<kCount, kFirst + 1>(step);
  }
}

}  // namespace ingot::cuda

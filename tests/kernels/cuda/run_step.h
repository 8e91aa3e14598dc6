// Where the tests of the kernels run them: under the executor on the CPU (run_on_executor.cc, the program test_cuda),
// or the kernels that nvcc made on a GPU (gpu/run_on_gpu.cc, the program test_gpu).
#pragma once

#include <cstddef>
#include <string>

#include "kernels/cuda/decode_step.h"
#include "kernels/cuda/product_plan.h"
#include "tests/simt/executor.h"

namespace ingot::test {

// Runs a step to its end and returns its error, or nothing. `memory` and `seed`: what kernels may use and the order of
// threads; a GPU looks at neither.
std::string RunStep(simt::Memory& memory, const cuda::DecodeStep& step, unsigned seed);
std::string RunStep(simt::Memory& memory, const cuda::ProductStep& step, unsigned seed);

// What plans for it may ask for.
cuda::DeviceLimits LimitsForTests();

// Memory for tests and kernels alike, at a multiple of 256 bytes. Throws where there is none.
std::byte* AllocateForKernels(size_t size);
void FreeForKernels(std::byte* at);

// Owns such memory, of exactly this size: it ends with its last byte.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t size) : data_(AllocateForKernels(size)), size_(size) {}
  AlignedBytes(const AlignedBytes&) = delete;
  ~AlignedBytes() { FreeForKernels(data_); }
  std::byte* data() { return data_; }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  size_t size() const { return size_; }

 private:
  std::byte* data_;
  size_t size_;
};

}  // namespace ingot::test

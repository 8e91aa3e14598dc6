// A launch on a device, for the files that the host's compiler makes with CUDA's headers.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/device.h"

namespace ingot::cuda {

// Makes a device current for a scope, for the thread.
class CurrentDevice {
 public:
  explicit CurrentDevice(int index) {
    if (cudaGetDevice(&before_) != cudaSuccess) before_ = -1;
    error_ = before_ == index ? cudaSuccess : cudaSetDevice(index);
    changed_ = error_ == cudaSuccess && before_ != index && before_ >= 0;
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  ~CurrentDevice() {
    if (changed_) (void)cudaSetDevice(before_);
  }
  cudaError_t error() const { return error_; }

 private:
  int before_ = -1;
  bool changed_ = false;
  cudaError_t error_;
};

// An error of a call to CUDA: kMemory or kDevice. Nothing for cudaSuccess.
Status CheckCall(const Device& device, const char* what, cudaError_t error);

struct LaunchShape {
  uint32_t grid, block, shared_bytes;
};

// Enqueues function(*parameters), on the current device. Null: kUnsupported, there is no such kernel.
Status Launch(const Device& device, const void* function, const LaunchShape& shape, void* parameters, void* stream);

}  // namespace ingot::cuda

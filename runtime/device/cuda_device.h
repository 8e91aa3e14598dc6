// NVIDIA GPUs as devices, by way of the CUDA runtime. In a build without CUDA (INGOT_CUDA=OFF) there are none, and the
// errors say so.
#pragma once

#include <memory>
#include <string>

#include "runtime/device/device.h"

namespace ingot {

// What a GPU has to have at least.
inline constexpr int kLeastComputeMajor = 7, kLeastComputeMinor = 5;

struct CudaDeviceInfo {
  std::string name;  // "NVIDIA H100 80GB HBM3"
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
};

// How many GPUs the driver shows. kUnsupported: a build without CUDA; kDevice: no driver, one that is too old, no GPU.
// Thread-safe, as all of these.
Result<int> CountCudaDevices();

// kUsage: there is no such number; kUnsupported: it is too old; else as CountCudaDevices.
Result<CudaDeviceInfo> DescribeCudaDevice(int number);

// A device on the GPU's primary context, which it shares with the rest of the process: no call leaves another device
// current than it found, and none resets one. Errors as DescribeCudaDevice.
Result<std::shared_ptr<Device>> OpenCudaDevice(int number);

}  // namespace ingot

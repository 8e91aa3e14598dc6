// NVIDIA GPUs as devices, by way of the CUDA runtime.
#pragma once

#include <memory>

#include "runtime/device/device.h"

namespace ingot {

// A device on the GPU's primary context, which it shares with the rest of the process: no call leaves another device
// current than it found, takes the process's errors or resets the GPU. Errors as of cuda::OpenDevice (a build without
// CUDA, no driver, no such GPU, one that is too old) and kDevice. Thread-safe.
Result<std::shared_ptr<Device>> OpenCudaDevice(int number);

}  // namespace ingot

// A CUDA device, and launches on it. In a build without CUDA, or on a machine without a driver or a device, OpenDevice
// says so and nothing else here is called; everything on the CPU works all the same.
#pragma once

#include <cstdint>
#include <string>

#include "format/dtype.h"
#include "format/status.h"
#include "kernels/cuda/matrix_view.h"

namespace ingot::cuda {

struct Device {
  int index = 0;
  std::string name;
  uint32_t multiprocessors = 1;
  int architecture = 0;  // 75, 80, ...
};

// The device with this number. kUnsupported, with the reason: built without CUDA, no driver or too old a one, no such
// device, one older than sm_75.
Result<Device> OpenDevice(int index);

// Enqueues the decoding of elements [first, first + count) of the view to `out`, memory of that device aligned to
// elements of `type` (kF32, kF16, kBF16). kUsage: a range outside the view. `stream` is a cudaStream_t; null: the
// default one. The planes of the view must live until it is done. Thread-safe.
Status DecodeOnDevice(const Device& device, const MatrixView& matrix, uint64_t first, uint64_t count, DType type,
                      void* out, void* stream);

}  // namespace ingot::cuda

// A CUDA device, and launches on it. In a build without CUDA, or on a machine without a driver or a device, OpenDevice
// says so and nothing else here is called; everything on the CPU works all the same.
//
// Launches leave the device current that they found, and neither reset a device nor take errors that are not theirs.
// What the device or its driver refuses is kDevice (kMemory where memory is short) and names the device; what fails
// only after a launch is reported where its stream is waited for, or by a later call.
#pragma once

#include <cstdint>
#include <string>

#include "format/dtype.h"
#include "format/status.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/matrix_view.h"
#include "kernels/matrix_slice.h"

namespace ingot::cuda {

struct Device : DeviceLimits {
  int index = 0;
  std::string name;
};

// How many devices there are. kUnsupported, with the reason: built without CUDA, no driver or too old a one, no device.
Result<int> CountDevices();
// The device with this number. kUnsupported, with the reason: as CountDevices, no such device, one older than sm_75.
Result<Device> OpenDevice(int index);

// Enqueues the decoding of a slice of the view to `out`, memory of that device aligned to elements of `type` (kF32,
// kF16, kBF16): (r, c) goes to element (r - slice.row) * stride + c - slice.column. kUsage: a slice outside the view, a
// stride of less than its columns. `stream` is a cudaStream_t; null: the device's default one. The planes of the view
// must live until it is done. Thread-safe.
Status DecodeOnDevice(const Device& device, const MatrixView& matrix, const MatrixSlice& slice, DType type, void* out,
                      uint64_t stride, void* stream);
// The same for elements [first, first + count) of the view in row-major order, without gaps.
Status DecodeOnDevice(const Device& device, const MatrixView& matrix, uint64_t first, uint64_t count, DType type,
                      void* out, void* stream);

}  // namespace ingot::cuda

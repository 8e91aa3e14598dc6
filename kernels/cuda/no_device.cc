// In place of device.cc and the kernels where Ingot is built without CUDA.
#ifndef INGOT_HAS_CUDA
#include "kernels/cuda/device.h"

namespace ingot::cuda {

Result<Device> OpenDevice(int) {
  return Fail(ErrorCode::kUnsupported, "CUDA: this build of Ingot is without it (INGOT_CUDA)");
}

Status DecodeOnDevice(const Device&, const MatrixView&, uint64_t, uint64_t, DType, void*, void*) {
  return Propagate(OpenDevice(0));
}

}  // namespace ingot::cuda
#endif

// In place of device.cc, product_device.cc and the kernels where Ingot is built without CUDA.
#ifndef INGOT_HAS_CUDA
#include "kernels/cuda/device.h"
#include "kernels/cuda/product_device.h"

namespace ingot::cuda {

Result<int> CountDevices() {
  return Fail(ErrorCode::kUnsupported, "CUDA: this build of Ingot is without it (INGOT_CUDA)");
}
Result<Device> OpenDevice(int) { return Propagate(CountDevices()); }

Status DecodeOnDevice(const Device&, const MatrixView&, const MatrixSlice&, DType, void*, uint64_t, void*) {
  return Propagate(CountDevices());
}
Status DecodeOnDevice(const Device&, const MatrixView&, uint64_t, uint64_t, DType, void*, void*) {
  return Propagate(CountDevices());
}
Status MultiplyOnDevice(const Device&, const MatrixView&, const ProductRequest&, void*) {
  return Propagate(CountDevices());
}
Result<LibraryProducts> LibraryProducts::Make(const Device&) { return Propagate(CountDevices()); }
Status LibraryProducts::Multiply(const MatrixView&, const ProductRequest&, void*, uint64_t, void*) const {
  return Propagate(CountDevices());
}

}  // namespace ingot::cuda
#endif

// The device of the tests: GPU 0, if there is one that Ingot can use.
#include "runtime/device/cuda_device.h"
#include "tests/abi/device_test.h"

#ifdef INGOT_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace ingot::test {

std::shared_ptr<Device> OpenTestDevice() {
  auto device = OpenCudaDevice(0);
  if (device) return *device;
  MESSAGE("not run: ", device.error().message);
  REQUIRE(device.error().code == ErrorCode::kUnsupported);
  return nullptr;
}

#ifdef INGOT_HAS_CUDA
void CopyToDevice(std::byte* to, const std::byte* from, size_t size) {
  REQUIRE(cudaMemcpy(to, from, size, cudaMemcpyHostToDevice) == cudaSuccess);
}
void CopyToHost(std::byte* to, const std::byte* from, size_t size) {
  REQUIRE(cudaMemcpy(to, from, size, cudaMemcpyDeviceToHost) == cudaSuccess);
}
#else
void CopyToDevice(std::byte*, const std::byte*, size_t) { REQUIRE(false); }
void CopyToHost(std::byte*, const std::byte*, size_t) { REQUIRE(false); }
#endif
std::string ProblemsOf(Device&) { return ""; }

}  // namespace ingot::test

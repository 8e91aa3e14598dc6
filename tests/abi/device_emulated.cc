// The device of the tests: emulated, running kernels under the executor.
#include "tests/abi/device_test.h"
#include "tests/simt/kernel_device.h"

namespace ingot::test {

std::shared_ptr<Device> OpenTestDevice() {
  return std::make_shared<KernelDevice>(EmulatedOptions{.most_delay_us = 30});
}
void CopyToDevice(std::byte* to, const std::byte* from, size_t size) { std::memcpy(to, from, size); }
void CopyToHost(std::byte* to, const std::byte* from, size_t size) { std::memcpy(to, from, size); }
std::string ProblemsOf(Device& device) { return static_cast<KernelDevice&>(device).Problems(); }

}  // namespace ingot::test

// The tests of the kernels on the first GPU. Where there is none that can be used, it says why and passes.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "kernels/cuda/device.h"

int main(int count, char** arguments) {
  const auto device = ingot::cuda::OpenDevice(0);
  if (!device) {
    std::printf("not run: %s\n", device.error().message.c_str());
    return device.error().code == ingot::ErrorCode::kUnsupported ? 0 : 1;
  }
  std::printf("on %s, sm_%d\n", device->name.c_str(), device->architecture);
  return doctest::Context(count, arguments).run();
}

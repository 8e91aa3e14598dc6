// What plans of launches ask about a device. A plain value.
#pragma once

#include <cstdint>

namespace ingot::cuda {

struct DeviceLimits {
  uint32_t multiprocessors = 1;
  uint32_t shared_bytes = 64 << 10;  // that a block can have
  int architecture = 80;             // 75, 80, ...
};

}  // namespace ingot::cuda

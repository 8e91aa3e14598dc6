// The tensors of a file, those of one encoding together: what is measured of a file of the user's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/model.h"

namespace ingot::bench {

// Tensors that are encoded alike; of a large file the first ones only.
struct Group {
  static constexpr uint64_t kEnoughValues = 64 << 20, kEnoughBytes = 128 << 20;

  std::string encoding;
  std::vector<uint32_t> tensors;
  uint64_t values = 0, bytes = 0;  // planes
};

std::vector<Group> GroupsOf(const Model& model);

}  // namespace ingot::bench

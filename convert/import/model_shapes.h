// The shape of a weight that a checkpoint does not store, from the model's configuration.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "convert/import/checkpoint.h"

namespace ingot {

struct WeightShape {
  uint64_t rows, cols;  // outputs, inputs
};

// The shape of `module`'s weight of `elements` elements, of which the number of columns `fits`: as config.json gives it
// for a module of its name, else from the length of its bias, else the only one that the sizes in config.json allow.
// Errors: kBadInput naming the module if none or several fit.
Result<WeightShape> FindShape(const Checkpoint& checkpoint, const std::string& module, uint64_t elements,
                              const std::function<bool(uint64_t cols)>& fits);

}  // namespace ingot

// What is measured on any .ingot file, synthetic or not.
#pragma once

#include <string>

#include "format/status.h"
#include "tools/bench/race.h"

namespace ingot::bench {

// Opening it and decoding the tensor of that name.
Status MeasureOpen(Bench& bench, const std::string& path, const std::string& row, const std::string& tensor);

// Verifying all `bytes` bytes of its planes, while it is opened and by `validate`.
Status MeasureVerify(Bench& bench, const std::string& path, const std::string& row, uint64_t bytes);

}  // namespace ingot::bench

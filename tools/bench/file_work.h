// What is measured on any .ingot file, synthetic or not; synthetic ones.
#pragma once

#include <string>

#include "format/status.h"
#include "tools/bench/race.h"

namespace ingot::bench {

// The page cache keeps what is written in one go together, which decides how fast it is read and mapped later.
inline constexpr uint64_t kCopyWrite = 128 << 10;  // as `cp` does
inline constexpr uint64_t kLargeWrite = 4 << 20;

// A task on a temporary file of `count` raw F32 tensors of as many values each, in writes of at most `piece_size`
// bytes.
Task OnFile(uint64_t count, uint64_t values, uint64_t piece_size,
            const std::function<Status(Bench&, const std::string& path)>& measure);

// Opening it and decoding the tensor of that name.
Status MeasureOpen(Bench& bench, const std::string& path, const std::string& row, const std::string& tensor);

// Verifying all `bytes` bytes of its planes, while it is opened and by `validate`.
Status MeasureVerify(Bench& bench, const std::string& path, const std::string& row, uint64_t bytes);

}  // namespace ingot::bench

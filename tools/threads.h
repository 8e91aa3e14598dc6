// How many threads a command uses: --threads, else INGOT_THREADS, else one for each core.
#pragma once

#include <functional>
#include <optional>

#include "format/status.h"

namespace ingot {

// Runs `body` with TBB limited to that many threads. kUsage if INGOT_THREADS is no number from 1 to 1024.
Result<int> WithThreads(std::optional<int> threads, const std::function<Result<int>()>& body);

}  // namespace ingot

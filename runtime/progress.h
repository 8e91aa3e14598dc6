// How long work tells its caller where it is, and is told to stop.
#pragma once

#include <cstdint>
#include <functional>

#include "format/status.h"

namespace ingot {

// Called now and then, from one thread at a time, with bytes done and bytes in all. Returning false asks the work to
// stop: it then cleans up and returns kInterrupted.
using ProgressFn = std::function<bool(uint64_t done, uint64_t total)>;

inline bool KeepGoing(const ProgressFn& progress, uint64_t done, uint64_t total) {
  return !progress || progress(done, total);
}

inline tl::unexpected<Error> Interrupted() { return Fail(ErrorCode::kInterrupted, "interrupted"); }

}  // namespace ingot

#include "runtime/threads.h"

#include <tbb/global_control.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace ingot {

Result<std::optional<int>> ThreadsFromEnvironment() {
  const char* text = std::getenv("INGOT_THREADS");
  if (text == nullptr || *text == '\0') return std::nullopt;
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end || value < 1 || value > kMostThreads) {
    return Fail(ErrorCode::kUsage, "INGOT_THREADS is '{}', must be a number from 1 to {}", text, kMostThreads);
  }
  return value;
}

std::unique_ptr<tbb::task_arena> ArenaPool::Take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto arena = std::move(idle_.back());
      idle_.pop_back();
      return arena;
    }
    idle_.reserve(idle_.capacity() + 1);  // Return may not fail
  }
  // More than the process allows would be ignored, with a warning of TBB's on standard error.
  const size_t allowed = tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
  return std::make_unique<tbb::task_arena>(static_cast<int>(std::min<size_t>(static_cast<size_t>(threads_), allowed)));
}

void ArenaPool::Return(std::unique_ptr<tbb::task_arena> arena) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(arena));
}

}  // namespace ingot

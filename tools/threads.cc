#include "tools/threads.h"

#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/task_arena.h>

#include "runtime/threads.h"

namespace ingot {

Result<int> WithThreads(std::optional<int> threads, const std::function<Result<int>()>& body) {
  if (!threads) {
    auto environment = ThreadsFromEnvironment();
    if (!environment) return Propagate(environment);
    threads = *environment;
  }
  if (!threads) return body();
  // The control limits the workers of the process; the arena may also be larger than the number of cores.
  const auto count = static_cast<size_t>(*threads);
  tbb::global_control control(tbb::global_control::max_allowed_parallelism, count);
  tbb::task_arena arena(*threads);
  return arena.execute(body);
}

}  // namespace ingot

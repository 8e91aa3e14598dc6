// How many threads a call uses.
#pragma once

#include <tbb/task_arena.h>

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "format/status.h"

namespace ingot {

inline constexpr int kMostThreads = 1024;

// What the environment variable INGOT_THREADS asks for, or nothing; kUsage if it is no number from 1 to 1024.
Result<std::optional<int>> ThreadsFromEnvironment();

// Runs each call on its own arena of a given number of threads (no more than TBB may use: one for each processor,
// unless the process has set another limit), so that calls from several threads at once do not wait
// for each other. Thread-safe.
class ArenaPool {
 public:
  explicit ArenaPool(int threads) : threads_(threads) {}

  int threads() const { return threads_; }

  // body() with TBB's parallel loops limited to the arena; the calling thread is one of them.
  template <typename Body>
  auto Run(Body&& body) {
    const Lease lease(*this);
    return lease.arena->execute(std::forward<Body>(body));
  }

 private:
  struct Lease {
    explicit Lease(ArenaPool& owner) : pool(owner), arena(owner.Take()) {}
    ~Lease() { pool.Return(std::move(arena)); }
    Lease(const Lease&) = delete;
    ArenaPool& pool;
    std::unique_ptr<tbb::task_arena> arena;
  };
  std::unique_ptr<tbb::task_arena> Take();
  void Return(std::unique_ptr<tbb::task_arena> arena);

  const int threads_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<tbb::task_arena>> idle_;
};

}  // namespace ingot

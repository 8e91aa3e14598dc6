// Dividing rows among threads.
#pragma once

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cstdint>

#include "format/checked.h"

namespace ingot {

// Calls work(begin, end) for pieces of [0, rows), one for each thread of the caller's arena, which are multiples of
// `unit`; on this thread alone if there are too few `values` to share.
template <class Work>
void InEqualParts(uint64_t rows, uint64_t unit, uint64_t values, const Work& work) {
  constexpr uint64_t kWorthThreads = 64 << 10;
  const auto threads = static_cast<uint64_t>(tbb::this_task_arena::max_concurrency());
  if (threads == 1 || values < kWorthThreads || rows < 2 * unit) return work(uint64_t{0}, rows);
  const uint64_t part = CeilDiv(CeilDiv(rows, threads), unit) * unit;
  tbb::parallel_for(uint64_t{0}, CeilDiv(rows, part),
                    [&](uint64_t i) { work(i * part, std::min(rows, (i + 1) * part)); });
}

}  // namespace ingot

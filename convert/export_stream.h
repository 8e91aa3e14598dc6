// The writing half of every export: blocks of the new file are made in parallel and written in order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "format/status.h"
#include "runtime/output_file.h"
#include "runtime/progress.h"

namespace ingot {

struct ExportBlock {
  uint64_t offset;  // in the new file
  // Makes the bytes; called once, on any thread. What it captures lives until the block is written.
  std::function<Status(std::vector<std::byte>& bytes)> make;
};

// Calls `next`, one call at a time, until it returns nothing or an error, and writes the blocks it returns. No more
// than a few of them are in memory at a time. `done` of `size` bytes of the file are there already; `progress` counts
// on. The first error ends the writing and is returned. Not thread-safe for one file.
using NextExportBlock = std::function<Result<std::unique_ptr<ExportBlock>>()>;
Status WriteBlocks(const NextExportBlock& next, OutputFile& out, uint64_t done, uint64_t size,
                   const ProgressFn& progress);

}  // namespace ingot

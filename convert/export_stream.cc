#include "convert/export_stream.h"

#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

#include <atomic>

namespace ingot {
namespace {

struct Block {
  std::unique_ptr<ExportBlock> plan;
  std::vector<std::byte> bytes;
  Status status;
};
using BlockPtr = std::shared_ptr<Block>;

}  // namespace

Status WriteBlocks(const NextExportBlock& next, OutputFile& out, uint64_t done, uint64_t size,
                   const ProgressFn& progress) {
  Status status;                     // of the writing stage
  std::atomic<bool> failed = false;  // the same, for the reading stage
  const auto plan = [&](tbb::flow_control& control) -> BlockPtr {
    auto block = std::make_shared<Block>();
    if (!failed) {
      // Isolated: while planes are read in parallel, this thread must not take up the making of blocks.
      auto planned = tbb::this_task_arena::isolate(next);
      if (planned) block->plan = std::move(*planned);
      if (!planned) block->status = Propagate(planned);
    }
    if (!block->status) failed = true;
    if (block->plan != nullptr || !block->status) return block;
    control.stop();
    return nullptr;
  };
  const auto make = [](BlockPtr block) {
    if (block->status) block->status = block->plan->make(block->bytes);
    return block;
  };
  const auto write = [&](BlockPtr block) {
    if (!status) return;
    status = block->status;
    if (status) status = out.WriteAt(block->plan->offset, block->bytes);
    done += block->bytes.size();
    if (status && !KeepGoing(progress, done, size)) status = Interrupted();
    if (!status) failed = true;
  };
  using tbb::filter_mode;
  const auto tokens = static_cast<size_t>(2 * tbb::this_task_arena::max_concurrency());
  tbb::parallel_pipeline(tokens, tbb::make_filter<void, BlockPtr>(filter_mode::serial_in_order, plan) &
                                     tbb::make_filter<BlockPtr, BlockPtr>(filter_mode::parallel, make) &
                                     tbb::make_filter<BlockPtr, void>(filter_mode::serial_in_order, write));
  return status;
}

}  // namespace ingot

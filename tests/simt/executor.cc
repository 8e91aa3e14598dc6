#include "tests/simt/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "tests/simt/running_launch.h"

namespace ingot::simt {
namespace {

// Those of earlier launches are used again: their stacks are the costly part.
std::vector<Thread>& Threads(unsigned count) {
  thread_local std::vector<Thread> threads;
  if (threads.size() < count) threads.resize(count);
  return threads;
}

}  // namespace

Executor::Executor(Memory& memory, const LaunchOptions& options, const std::function<void()>& kernel)
    : memory_(memory), options_(options), kernel_(kernel), random_(options.seed), threads_(Threads(options.block)) {}

void Memory::Lend(const void* at, size_t size, bool writable, const std::string& name) {
  if (size == 0) return;
  const auto begin = reinterpret_cast<uintptr_t>(at);
  Range range{begin, begin + size, writable, name, {}, {}};
  const auto place = std::upper_bound(ranges_.begin(), ranges_.end(), begin,
                                      [](uintptr_t address, const Range& r) { return address < r.begin; });
  ranges_.insert(place, std::move(range));
}

Report Launch(Memory& memory, const LaunchOptions& options, const std::function<void()>& kernel) {
  Executor executor(memory, options, kernel);
  Executor* const before = std::exchange(running, &executor);
  Report report = executor.Run();
  running = before;
  return report;
}

// ---- scheduling

std::vector<unsigned> Executor::Order(unsigned count) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (options_.seed == 1) std::reverse(order.begin(), order.end());
  if (options_.seed > 1) std::shuffle(order.begin(), order.end(), random_);
  return order;
}

Report Executor::Run() {
  for (Memory::Range& range : memory_.ranges_) {
    if (range.writable) range.writers.assign(range.end - range.begin, 0), range.readers = range.writers;
  }
  if (options_.block == 0 || options_.block > 1024 || options_.grid == 0 || options_.dynamic_shared > kSharedBytes) {
    report_.error = "a launch of no threads, of too many, or with too much shared memory";
    return report_;
  }
  for (unsigned block : Order(options_.grid)) {
    block_ = block;
    RunBlock();
    if (!report_.error.empty()) break;
    if (options_.count) log_.Flush(report_.counts);
  }
  return report_;
}

void Executor::RunBlock() {
  const unsigned count = options_.block;
  alive_ = count, arrived_ = 0;
  warps_.assign((count + kWarp - 1) / kWarp, {});
  declared_.clear();
  shared_end_ = (options_.dynamic_shared + 15) / 16 * 16;
  shared_bytes_.assign(shared_end_, {});
  std::fill_n(shared_.data(), shared_end_, std::byte{0xCD});
  for (unsigned i = 0; i < count; ++i) {
    Thread& t = threads_[i];
    t.index = i, t.done = false, t.waits_for = nullptr, t.block_epoch = t.warp_epoch = 0;
    t.copies.assign(1, {});
    t.fiber.Reset(&Entry, this);
  }
  const std::vector<unsigned> order = Order(count);
  for (unsigned left = count; left > 0;) {
    bool progress = false;
    for (unsigned i : order) {
      Thread& t = threads_[i];
      if (t.done || (t.waits_for != nullptr && *t.waits_for == t.seen)) continue;
      progress = true;
      current_ = &t;
      t.fiber.Resume();
      if (!report_.error.empty()) return;
      left -= t.done;
    }
    if (progress) continue;
    const auto stuck =
        std::find_if(threads_.begin(), threads_.begin() + count, [](const Thread& t) { return !t.done; });
    report_.error = fmt::format("deadlock: block {}, thread {} waits in {}", block_, stuck->index, stuck->where);
    return;
  }
}

void Executor::Entry(void* self) {
  auto& executor = *static_cast<Executor*>(self);
  executor.kernel_();
  Thread& t = executor.thread();
  const bool copies_left = std::any_of(t.copies.begin(), t.copies.end(), [](const auto& g) { return !g.empty(); });
  if (copies_left) executor.Fail("ends with asynchronous copies that nobody waited for");
  if (executor.arrived_ > 0) executor.Fail("ends while others wait at a barrier of the block");
  t.done = true;
  --executor.alive_;
  t.fiber.Suspend();
}

void Executor::Fail(std::string&& what) {
  report_.error = fmt::format("block {}, thread {}: {}", block_, current_->index, what);
  std::string().swap(what);
  for (;;) current_->fiber.Suspend();
}

void Executor::WaitFor(const uint64_t& counter, uint64_t seen, const char* where) {
  Thread& t = thread();
  t.waits_for = &counter, t.seen = seen, t.where = where;
  while (counter == seen) t.fiber.Suspend();
  t.waits_for = nullptr;
}

void Executor::Barrier() {
  if (alive_ != options_.block) Fail("reaches a barrier of the block that others never reached: they have ended");
  Thread& t = thread();
  const uint64_t seen = generation_;
  if (++arrived_ == alive_) {
    arrived_ = 0;
    ++generation_;
  } else {
    WaitFor(generation_, seen, "a barrier of the block");
  }
  ++t.block_epoch, ++t.warp_epoch;
}

void Executor::MeetWarp(uint32_t mask, const char* where) {
  Warp& w = warp();
  Thread& t = thread();
  const unsigned lane = t.index % kWarp;
  if ((mask >> lane & 1) == 0) Fail(fmt::format("is not in the mask {:08x} of its {}", mask, where));
  if (w.arrived != 0 && (w.mask != mask || std::strcmp(w.where, where) != 0))
    Fail(fmt::format("meets its warp in {} with mask {:08x}; others are in {} with {:08x}", where, mask, w.where,
                     w.mask));
  for (unsigned i = 0; i < kWarp; ++i) {
    const unsigned other = t.index - lane + i;
    if ((mask >> i & 1) != 0 && (other >= options_.block || threads_[other].done))
      Fail(fmt::format("waits in {} for lane {}, which has ended", where, i));
  }
  w.mask = mask, w.where = where;
  w.arrived |= 1u << lane;
  const uint64_t seen = w.generation;
  if (w.arrived == mask) {
    w.arrived = 0;
    ++w.generation;
  } else {
    WaitFor(w.generation, seen, where);
  }
}

uint32_t* Executor::Exchange(uint32_t mask, uint32_t value, const char* where) {
  Warp& w = warp();
  uint32_t* slots = w.slots[w.generation % 2];
  slots[thread().index % kWarp] = value;
  MeetWarp(mask, where);
  return slots;
}

}  // namespace ingot::simt

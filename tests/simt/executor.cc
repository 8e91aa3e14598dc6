#include "tests/simt/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <span>

#include "tests/simt/fiber.h"
#include "tests/simt/request_log.h"

namespace ingot::simt {
namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kSharedBytes = 100 << 10;

struct Copy {
  std::byte* to;
  const std::byte* from;
  size_t size;
};

struct Thread {
  Fiber fiber;
  unsigned index = 0;
  bool done = false;
  const uint64_t* waits_for = nullptr;  // runnable once it differs from `seen`
  uint64_t seen = 0;
  const char* where = "";
  uint32_t block_epoch = 0, warp_epoch = 0;  // barriers passed
  std::deque<std::vector<Copy>> copies;      // groups, the open one last
};

struct Warp {
  uint64_t generation = 0;
  uint32_t arrived = 0, mask = 0;
  const char* where = "";
  uint32_t slots[2][kWarp] = {};
};

struct alignas(128) SharedArena {
  std::byte bytes[kSharedBytes];
};

// Who touched a byte of shared memory last.
struct Touch {
  uint32_t thread = 0;  // plus 1; 0: nobody
  uint32_t block_epoch = 0, warp_epoch = 0;
};
struct SharedByte {
  Touch write, read, other_read;  // the last two readers that differ
  bool copy_pending = false;
};

// Those of earlier launches are used again: their stacks are the costly part.
std::vector<Thread>& Threads(unsigned count) {
  thread_local std::vector<Thread> threads;
  if (threads.size() < count) threads.resize(count);
  return threads;
}

}  // namespace

class Executor {
 public:
  Executor(Memory& memory, const LaunchOptions& options, const std::function<void()>& kernel)
      : memory_(memory), options_(options), kernel_(kernel), random_(options.seed), threads_(Threads(options.block)) {}

  Report Run();

  Thread& thread() { return *current_; }
  Warp& warp() { return warps_[current_->index / kWarp]; }
  unsigned block_index() const { return block_; }
  const LaunchOptions& options() const { return options_; }

  // Frees `what`: the fiber that calls this never returns.
  [[noreturn]] void Fail(std::string&& what);
  void CheckGlobal(const void* at, size_t size, bool write, const void* site);
  void CheckShared(const void* at, size_t size, bool write, const void* site);
  void* Shared(const void* key, size_t size);
  void* dynamic_shared() { return shared_.data(); }
  void Barrier();
  void MeetWarp(uint32_t mask, const char* where);
  uint32_t* Exchange(uint32_t mask, uint32_t value, const char* where);
  void Copying(void* to, const void* from, size_t size);
  void FinishCopies(size_t open);

 private:
  void RunBlock();
  std::vector<unsigned> Order(unsigned count);
  void WaitFor(const uint64_t& counter, uint64_t seen, const char* where);
  void ReleaseBarrier();
  bool Ordered(const Touch& before) const;
  Memory::Range* Find(uintptr_t at, size_t size);
  std::string OutOfBounds(const char* what, uintptr_t address, size_t size) const;
  static void Entry(void* self);

  Memory& memory_;
  const LaunchOptions options_;
  const std::function<void()>& kernel_;
  std::mt19937 random_;
  std::vector<Thread>& threads_;
  std::vector<Warp> warps_;
  const std::unique_ptr<SharedArena> arena_ = std::make_unique<SharedArena>();
  std::span<std::byte> shared_ = arena_->bytes;
  std::vector<SharedByte> shared_bytes_;
  std::vector<std::pair<const void*, size_t>> declared_;  // key and offset
  size_t shared_end_ = 0;
  Thread* current_ = nullptr;
  Memory::Range* last_range_ = nullptr;
  unsigned block_ = 0, alive_ = 0, arrived_ = 0;
  uint64_t generation_ = 0;
  const std::string memory_name_ = "shared";
  RequestLog log_;
  Report report_;
};

namespace {
thread_local Executor* running = nullptr;
}

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

// ---- memory

Memory::Range* Executor::Find(uintptr_t at, size_t size) {
  const auto holds = [&](const Memory::Range& r) { return at >= r.begin && at < r.end && size <= r.end - at; };
  if (last_range_ != nullptr && holds(*last_range_)) return last_range_;
  const auto next = std::upper_bound(memory_.ranges_.begin(), memory_.ranges_.end(), at,
                                     [](uintptr_t address, const Memory::Range& r) { return address < r.begin; });
  if (next == memory_.ranges_.begin() || !holds(*(next - 1))) return nullptr;
  return last_range_ = &*(next - 1);
}

std::string Executor::OutOfBounds(const char* what, uintptr_t address, size_t size) const {
  std::string near = "no memory";
  for (const Memory::Range& r : memory_.ranges_) {
    if (r.begin <= address + 4096 && address <= r.end + 4096)
      near = fmt::format("'{}' + {} of {}", r.name, static_cast<int64_t>(address - r.begin), r.end - r.begin);
  }
  return fmt::format("{} {} bytes of global memory out of bounds, at {}", what, size, near);
}

void Executor::CheckGlobal(const void* at, size_t size, bool write, const void* site) {
  const auto address = reinterpret_cast<uintptr_t>(at);
  const char* const what = write ? "writes" : "reads";
  if (address % size != 0)
    Fail(fmt::format("{} {} bytes of global memory at an address that is not aligned", what, size));
  Memory::Range* range = Find(address, size);
  if (range == nullptr) Fail(OutOfBounds(what, address, size));
  if (write && !range->writable) Fail(fmt::format("writes to '{}', which is only to be read", range->name));
  if (range->writable) {
    const auto me = static_cast<uint32_t>(block_ * options_.block + thread().index + 1);
    for (uintptr_t i = address - range->begin; i < address - range->begin + size; ++i) {
      uint32_t &writer = range->writers[i], &reader = range->readers[i];
      if ((writer != 0 && writer != me) || (write && reader != 0 && reader != me)) {
        Fail(fmt::format("{} byte {} of '{}', which thread {} {}: a race", what, i, range->name,
                         (writer != 0 && writer != me ? writer : reader) - 1, writer != 0 ? "wrote" : "read"));
      }
      (write ? writer : reader) = me;
    }
  }
  if (options_.count)
    log_.Add(thread().index, site, write ? Access::kGlobalStore : Access::kGlobalLoad, address, size, range->name);
}

// Whether a barrier lies between that access and now.
bool Executor::Ordered(const Touch& before) const {
  if (before.thread == 0 || before.thread == current_->index + 1) return true;
  if (before.block_epoch < current_->block_epoch) return true;
  return (before.thread - 1) / kWarp == current_->index / kWarp && before.warp_epoch < current_->warp_epoch;
}

void Executor::CheckShared(const void* at, size_t size, bool write, const void* site) {
  const auto address = reinterpret_cast<uintptr_t>(at), base = reinterpret_cast<uintptr_t>(shared_.data());
  const char* const what = write ? "writes" : "reads";
  if (address % size != 0)
    Fail(fmt::format("{} {} bytes of shared memory at an address that is not aligned", what, size));
  const bool dynamic = address >= base && address - base + size <= options_.dynamic_shared;
  if (!dynamic && (address < base || address - base + size > shared_end_))
    Fail(fmt::format("{} {} bytes of shared memory out of bounds", what, size));
  Thread& t = thread();
  const Touch now{t.index + 1, t.block_epoch, t.warp_epoch};
  for (size_t i = address - base; i < address - base + size; ++i) {
    SharedByte& b = shared_bytes_[i];
    if (b.copy_pending) Fail(fmt::format("{} shared memory that an asynchronous copy is still filling", what));
    const Touch* other = !Ordered(b.write) ? &b.write : nullptr;
    if (write && other == nullptr)
      other = !Ordered(b.read) ? &b.read : !Ordered(b.other_read) ? &b.other_read : nullptr;
    if (other != nullptr)
      Fail(
          fmt::format("{} shared memory that thread {} used with no barrier between: a race", what, other->thread - 1));
    if (write) {
      b.write = now;
    } else {
      if (b.read.thread != now.thread) b.other_read = b.read;
      b.read = now;
    }
  }
  if (options_.count) log_.Add(t.index, site, Access::kShared, address, size, memory_name_);
}

void* Executor::Shared(const void* key, size_t size) {
  for (const auto& [known, offset] : declared_) {
    if (known == key) return shared_.data() + offset;
  }
  if (shared_end_ + size > kSharedBytes) Fail("asks for more shared memory than there is");
  declared_.emplace_back(key, shared_end_);
  std::fill_n(shared_.data() + shared_end_, size, std::byte{0xCD});
  shared_end_ += (size + 15) / 16 * 16;
  shared_bytes_.resize(shared_end_);
  return shared_.data() + declared_.back().second;
}

void Executor::Copying(void* to, const void* from, size_t size) {
  CheckShared(to, size, true, nullptr);
  for (size_t i = 0; i < size; ++i)
    shared_bytes_[static_cast<size_t>(static_cast<std::byte*>(to) - shared_.data()) + i].copy_pending = true;
  thread().copies.back().push_back({static_cast<std::byte*>(to), static_cast<const std::byte*>(from), size});
}

void Executor::FinishCopies(size_t open) {
  auto& copies = thread().copies;
  for (; copies.size() > open + 1; copies.pop_front()) {
    for (const Copy& copy : copies.front()) {
      std::memcpy(copy.to, copy.from, copy.size);
      for (size_t i = 0; i < copy.size; ++i)
        shared_bytes_[static_cast<size_t>(copy.to - shared_.data()) + i].copy_pending = false;
      // The copy is this thread's write, now.
      CheckShared(copy.to, copy.size, true, nullptr);
    }
  }
}

// ---- what kernels call

unsigned ThreadIndex() { return running->thread().index; }
unsigned BlockIndex() { return running->block_index(); }
unsigned BlockSize() { return running->options().block; }
unsigned GridSize() { return running->options().grid; }
unsigned Lane() { return ThreadIndex() % kWarp; }

__attribute__((noinline)) void CheckGlobalRead(const void* at, size_t size) {
  running->CheckGlobal(at, size, false, __builtin_return_address(0));
}
__attribute__((noinline)) void CheckGlobalWrite(const void* at, size_t size) {
  running->CheckGlobal(at, size, true, __builtin_return_address(0));
}
__attribute__((noinline)) void CheckSharedRead(const void* at, size_t size) {
  running->CheckShared(at, size, false, __builtin_return_address(0));
}
__attribute__((noinline)) void CheckSharedWrite(const void* at, size_t size) {
  running->CheckShared(at, size, true, __builtin_return_address(0));
}

void* SharedMemory(const void* key, size_t size) { return running->Shared(key, size); }
void* DynamicSharedMemory() { return running->dynamic_shared(); }

static bool Has(Fault fault) { return running->options().fault == fault; }

void BlockBarrier() {
  if (!Has(Fault::kNoBarriers)) running->Barrier();
}
void WarpBarrier(uint32_t mask) {
  if (Has(Fault::kNoBarriers)) return;
  running->MeetWarp(mask, "a barrier of the warp");
  ++running->thread().warp_epoch;
}

uint32_t Shuffle(uint32_t mask, uint32_t value, unsigned source) {
  if (Has(Fault::kWrongShuffles)) source ^= 1;
  const uint32_t* slots = running->Exchange(mask, value, "a shuffle");
  if (source >= kWarp || (mask >> source & 1) == 0)
    running->Fail(fmt::format("shuffles from lane {}, which is not in the mask {:08x}", source, mask));
  return slots[source];
}

uint32_t Ballot(uint32_t mask, bool predicate) {
  const uint32_t* slots = running->Exchange(mask, predicate ? 1 : 0, "a ballot");
  uint32_t result = 0;
  for (unsigned i = 0; i < kWarp; ++i) result |= (mask >> i & 1) != 0 ? slots[i] << i : 0;
  return result;
}

void CopyAsync(void* shared, const void* global, size_t size) {
  CheckGlobalRead(global, size);
  running->Copying(shared, global, size);
}
void CommitCopies() { running->thread().copies.emplace_back(); }
void WaitForCopies(size_t groups_still_open) {
  if (!Has(Fault::kNoWaits)) running->FinishCopies(groups_still_open);
}

}  // namespace ingot::simt

// One launch while it runs: its threads and warps, the memory they may use, who touched what. Scheduling and meetings
// are in executor.cc, the checks of memory in memory_check.cc, what kernels call in kernel_calls.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/simt/executor.h"
#include "tests/simt/fiber.h"
#include "tests/simt/request_log.h"

namespace ingot::simt {

inline constexpr unsigned kWarp = 32;
inline constexpr size_t kSharedBytes = 100 << 10;

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

class Executor {
 public:
  Executor(Memory& memory, const LaunchOptions& options, const std::function<void()>& kernel);

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

// The launch that runs on this OS thread.
inline thread_local Executor* running = nullptr;

}  // namespace ingot::simt

// Runs CUDA kernels on the CPU, from their own source: a fiber for each thread, one block after the other, the threads
// in an order that a seed chooses. What a GPU would do silently wrong is an error here:
// - an access outside the memory that was lent, of a wrong alignment, or a write where only reading is allowed;
// - a barrier or warp operation that not all of its threads reach (a deadlock), a shuffle from a lane outside its mask;
// - two threads that access the same bytes, one of them writing, with no barrier between (shared memory), or at all
//   (global memory: blocks cannot wait for each other);
// - data of an asynchronous copy used before it was waited for.
// A launch ends at the first error. With `count` the memory requests of each warp are counted as well.
// One launch at a time for each OS thread; kernels must not own resources, since an error drops them where they stand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ingot::simt {

// What warps asked of memory. A request is one access of a warp's lanes by one instruction.
struct Requests {
  uint64_t count = 0, lanes = 0;
  uint64_t bytes = 0;    // distinct ones within each request
  uint64_t sectors = 0;  // of 32 bytes, distinct ones within each request
  uint64_t whole = 0;    // sectors of which the request has every byte
};
struct Counts {
  Requests global_loads, global_stores;
  std::map<std::string, Requests> loads_of;  // by the name of the memory
  uint64_t shared_requests = 0;
  uint64_t bank_conflicts = 0;  // additional passes
};

// What to leave out or to do wrong, to see that the tests of a kernel notice.
enum class Fault : uint8_t { kNone, kNoBarriers, kNoWaits, kWrongShuffles };

struct LaunchOptions {
  unsigned grid = 1, block = 32;
  size_t dynamic_shared = 0;
  unsigned seed = 0;  // order of threads and blocks: 0 ascending, 1 descending, others at random
  bool count = false;
  Fault fault = Fault::kNone;
};

struct Report {
  std::string error;  // empty: none
  Counts counts;
};

// The global memory that kernels may use: ranges lent by the test, which must outlive it.
class Memory {
 public:
  void LendReadOnly(const void* at, size_t size, const std::string& name) { Lend(at, size, false, name); }
  void Lend(void* at, size_t size, const std::string& name) { Lend(at, size, true, name); }

 private:
  friend class Executor;
  struct Range {
    uintptr_t begin, end;
    bool writable;
    std::string name;
    // Of each byte of a writable range: the thread that wrote it in this launch plus 1, and the one that read it.
    std::vector<uint32_t> writers, readers;
  };
  void Lend(const void* at, size_t size, bool writable, const std::string& name);
  std::vector<Range> ranges_;  // by address
};

Report Launch(Memory& memory, const LaunchOptions& options, const std::function<void()>& kernel);

// ---- what kernels call, by way of kernels/cuda/primitives.cuh

unsigned ThreadIndex();
unsigned BlockIndex();
unsigned BlockSize();
unsigned GridSize();

// Checked before the access is done. `size` is that of one access of one lane.
void CheckGlobalRead(const void* at, size_t size);
void CheckGlobalWrite(const void* at, size_t size);
void CheckSharedRead(const void* at, size_t size);
void CheckSharedWrite(const void* at, size_t size);

// `size` bytes for the block, the same for each of its threads; `key` tells declarations apart.
void* SharedMemory(const void* key, size_t size);
void* DynamicSharedMemory();

void BlockBarrier();
void WarpBarrier(uint32_t mask);
// Every lane of `mask` gives `value` and names a lane; returns that lane's value.
uint32_t Shuffle(uint32_t mask, uint32_t value, unsigned source);
uint32_t Ballot(uint32_t mask, bool predicate);
unsigned Lane();

// cp.async: done when it is waited for, never earlier.
void CopyAsync(void* shared, const void* global, size_t size);
void CommitCopies();
void WaitForCopies(size_t groups_still_open);

}  // namespace ingot::simt

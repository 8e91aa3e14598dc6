// What kernels call, by way of kernels/cuda/primitives.cuh: each asks the launch that is running.
#include <fmt/format.h>

#include "tests/simt/running_launch.h"

namespace ingot::simt {

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

// What a launch may touch, and in which order: bounds, alignment, races, copies that are still on their way.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tests/simt/running_launch.h"

namespace ingot::simt {

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

}  // namespace ingot::simt

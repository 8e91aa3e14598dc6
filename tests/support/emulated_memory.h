// The memory of an emulated device: pieces that are given out and taken back, each in an allocation of its own. For one
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "runtime/device/device.h"

namespace ingot::test {

class EmulatedMemory {
 public:
  using Pieces = std::map<const std::byte*, uint64_t>;  // sizes by where they begin

  EmulatedMemory() = default;
  EmulatedMemory(const EmulatedMemory&) = delete;
  ~EmulatedMemory() {
    for (std::byte* at : kept_) std::free(at);
  }

  // `fill`: with something that is not zero.
  std::byte* Get(uint64_t size, bool fill) {
    auto* at = static_cast<std::byte*>(
        std::aligned_alloc(kDeviceAlignment, (size + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment));
    if (fill) std::memset(at, 0xCD, size);
    pieces_[at] = size;
    return at;
  }
  // What is wrong with it, or null. Memory that is still in use is kept, so that what happens then is no accident.
  const char* Give(std::byte* at, uint64_t size, bool in_use) {
    const auto found = pieces_.find(at);
    if (found == pieces_.end()) return "memory is freed twice";
    if (found->second != size) return "memory is freed with another size";
    pieces_.erase(found);
    if (!in_use) return std::free(at), nullptr;
    kept_.push_back(at);
    return "memory is freed that work on a stream still uses";
  }
  bool Has(const std::byte* at, uint64_t size) const {
    auto found = pieces_.upper_bound(at);
    if (found == pieces_.begin()) return false;
    --found;
    return static_cast<uint64_t>(at - found->first) + size <= found->second;
  }
  const Pieces& pieces() const { return pieces_; }

 private:
  Pieces pieces_;
  std::vector<std::byte*> kept_;
};

}  // namespace ingot::test

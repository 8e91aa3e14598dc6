// Hashes all chunks of a file at the speed of memory.
#pragma once

#include <cstdint>
#include <functional>

#include "format/chunk.h"
#include "format/index.h"
#include "runtime/file.h"
#include "runtime/mapping.h"

namespace ingot {

// Immutable; Run may be called once at a time.
class ChunkVerifier {
 public:
  // Both must outlive it.
  ChunkVerifier(const File& file, const Index& index) : file_(file), index_(index), mapping_(Mapping::Map(file)) {}

  // Checks every chunk on all of TBB's threads. `on_fault` is told of each bad one (a fault without a rule is an I/O
  // failure), from any thread; `on_bytes` of stored bytes that are done, now and then: returning false ends the run.
  void Run(const std::function<void(uint32_t plane, uint64_t chunk, ChunkFault fault)>& on_fault,
           const std::function<bool(uint64_t bytes)>& on_bytes) const;

 private:
  uint32_t PlaneOfChunk(uint64_t chunk) const;
  ChunkResult<void> Check(uint32_t plane, uint64_t chunk, FrameDecoder& decoder, std::vector<std::byte>& buffer) const;
  const File& file_;
  const Index& index_;
  std::optional<Mapping> mapping_;
};

}  // namespace ingot

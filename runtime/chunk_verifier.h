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
  // All must outlive it. `mapping`: of the file, or NULL: everything is read.
  ChunkVerifier(const File& file, const Index& index, const Mapping* mapping)
      : file_(file), index_(index), mapping_(mapping) {}

  // Which chunks need no check: asked with the number of a record of the chunk table. Empty: all need one.
  using SkipFn = std::function<bool(uint32_t chunk_record)>;
  // What became of a chunk of a plane (a fault without a rule is an I/O failure). Called from any thread.
  using ChunkFn = std::function<void(uint32_t plane, uint64_t chunk, ChunkResult<void> checked)>;
  // Stored bytes that are done, now and then, from any thread: returning false ends the run.
  using BytesFn = std::function<bool(uint64_t bytes)>;

  // Checks every chunk on all of TBB's threads.
  void Run(const SkipFn& skip, const ChunkFn& on_chunk, const BytesFn& on_bytes) const;

 private:
  uint32_t PlaneOfChunk(uint64_t chunk) const;
  ChunkResult<void> Check(uint32_t plane, uint64_t chunk, FrameDecoder& decoder, std::vector<std::byte>& buffer) const;
  const File& file_;
  const Index& index_;
  const Mapping* mapping_;
};

}  // namespace ingot

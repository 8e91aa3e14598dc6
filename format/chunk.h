// Chunks of planes, stored raw or as a frame (spec/FORMAT.md, section 4).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/bytes.h"
#include "format/index.h"
#include "format/status.h"

namespace ingot {

// A rule that a frame or chunk breaks, with the values; the caller adds the place.
struct ChunkFault {
  std::string_view rule;
  std::string message;
};
template <typename T>
using ChunkResult = tl::expected<T, ChunkFault>;

// Decodes frames. Keeps zstd's context and scratch memory of one chunk: one per thread.
class FrameDecoder {
 public:
  FrameDecoder();
  ~FrameDecoder();
  FrameDecoder(FrameDecoder&&) noexcept;

  // Writes the logical bytes of a chunk, out.size() of them, from its stored bytes (stored.size() == frame.size).
  // Checks R-FRM-6 first, then R-FRM-7. The chunk's own hash is the caller's to check.
  ChunkResult<void> Decode(const FrameRecord& frame, ByteSpan stored, std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;  // from the first compressed chunk on: making it costs more than reading a small plane
};

// Encodes frames. One per thread.
class FrameEncoder {
 public:
  FrameEncoder();
  ~FrameEncoder();
  FrameEncoder(FrameEncoder&&) noexcept;

  // The smallest form of a chunk, by trying zstd on it as it is and, for `element_size` 2 or 4, byte-plane transposed.
  // A form that does not save at least 5 % of the chunk is not taken: the method is then kStored and `stored` is the
  // chunk itself.
  struct Frame {
    FrameMethod method;
    std::vector<std::byte> stored;
  };
  Frame Encode(ByteSpan chunk, int element_size);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// R-CHK-1: whether the logical bytes of a chunk have the hash that the index gives.
ChunkResult<void> CheckChunk(ByteSpan logical, const Hash128& expected);
// The same of `size` bytes that have the hash `hash`.
ChunkResult<void> CompareHash(uint64_t size, const Hash128& hash, const Hash128& expected);

}  // namespace ingot

#include "runtime/chunk_verifier.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <atomic>

#include "runtime/container.h"

namespace ingot {

// The plane that a record of the chunk table belongs to: chunks tile in the order of planes.
uint32_t ChunkVerifier::PlaneOfChunk(uint64_t chunk) const {
  uint32_t low = 0, high = index_.plane_count() - 1;
  while (low < high) {
    const uint32_t middle = low + (high - low + 1) / 2;
    if (index_.plane(middle).first_chunk <= chunk) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// What is in the page cache is hashed where it lies (copying it out first costs half of the speed); the rest is read,
// with the kernel's read-ahead.
ChunkResult<void> ChunkVerifier::Check(uint32_t number, uint64_t chunk, FrameDecoder& decoder,
                                       std::vector<std::byte>& buffer) const {
  const PlaneRecord plane = index_.plane(number);
  const uint64_t offset = plane.offset + chunk * kChunkSize, size = plane.chunk_size(chunk);
  constexpr uint64_t kWorthMapping = 64 << 10;
  if (!plane.framed() && mapping_ && size >= kWorthMapping && mapping_->Resident(offset, size)) {
    return CheckChunk(mapping_->bytes().subspan(offset, size),
                      index_.chunk(static_cast<uint32_t>(plane.first_chunk + chunk)));
  }
  return ReadAndCheckChunk(file_, index_, number, chunk, decoder, std::span(buffer).first(size));
}

void ChunkVerifier::Run(const SkipFn& skip, const ChunkFn& on_chunk, const BytesFn& on_bytes) const {
  const uint64_t chunks = index_.count(Table::kChunks);
  if (chunks == 0) return;
  std::atomic<bool> stop{false};
  constexpr uint64_t kGrain = 16;
  tbb::parallel_for(
      tbb::blocked_range<uint64_t>(0, chunks, kGrain),
      [&](const tbb::blocked_range<uint64_t>& range) {
        thread_local FrameDecoder decoder;
        thread_local std::vector<std::byte> buffer(kChunkSize);
        uint32_t number = PlaneOfChunk(range.begin());
        uint64_t bytes = 0;
        for (uint64_t i = range.begin(); i < range.end() && !stop.load(std::memory_order_relaxed); ++i) {
          while (i - index_.plane(number).first_chunk >= index_.plane(number).chunk_count()) ++number;
          const PlaneRecord plane = index_.plane(number);
          const uint64_t chunk = i - plane.first_chunk;
          if (!skip || !skip(static_cast<uint32_t>(i))) on_chunk(number, chunk, Check(number, chunk, decoder, buffer));
          bytes += plane.framed() ? index_.frame(static_cast<uint32_t>(plane.first_frame + chunk)).size
                                  : plane.chunk_size(chunk);
        }
        if (!on_bytes(bytes)) stop = true;
      },
      tbb::simple_partitioner());
}

}  // namespace ingot

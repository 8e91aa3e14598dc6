// Which decompressed chunks stay in memory: those in use, and of the others the ones used last, up to a limit.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "format/bytes.h"

namespace ingot {

// What is known of a chunk; bits of a state byte.
inline constexpr uint8_t kChunkPresent = 1;   // its bytes are in private memory
inline constexpr uint8_t kChunkVerified = 2;  // the bytes that are used now have the right hash
inline constexpr uint8_t kChunkCounted = 4;   // it was verified at least once
using ChunkState = std::atomic<uint8_t>;

// Thread-safe. Does not own the memory of the chunks, which must outlive it or never be pinned again.
class ChunkCache {
 public:
  // `limit` in bytes of chunks that nothing uses.
  explicit ChunkCache(uint64_t limit) : limit_(limit) {}
  ChunkCache(const ChunkCache&) = delete;
  ChunkCache& operator=(const ChunkCache&) = delete;

  // The memory of one decompressed chunk; no other chunk shares its pages.
  struct Place {
    ChunkState* state;  // names the chunk
    std::byte* bytes;
    uint32_t size;
  };

  // Keeps a chunk, whether it is present yet or not, from being dropped until as many Unpins.
  void Pin(const Place& place);
  void Unpin(ChunkState* chunk);
  // The bytes of a pinned chunk have arrived.
  void Arrived(uint64_t size) { bytes_.fetch_add(size, std::memory_order_relaxed); }

  uint64_t limit() const { return limit_; }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // of all chunks that are present

 private:
  struct Entry {
    Place place;
    uint64_t pins = 0;
    std::list<ChunkState*>::iterator node;  // in busy_ or idle_
  };
  void DropIdle();

  const uint64_t limit_;
  std::atomic<uint64_t> bytes_{0};
  std::mutex mutex_;
  std::unordered_map<ChunkState*, Entry> entries_;  // pinned or present
  std::list<ChunkState*> busy_;                     // with pins
  std::list<ChunkState*> idle_;                     // present without pins, the one used last at the end
  uint64_t idle_bytes_ = 0;
};

// Owns pins. Movable; not thread-safe.
class ChunkPins {
 public:
  ChunkPins() = default;
  explicit ChunkPins(ChunkCache& cache) : cache_(&cache) {}
  ChunkPins(ChunkPins&& other) noexcept { *this = std::move(other); }
  ChunkPins& operator=(ChunkPins&& other) noexcept {
    std::swap(cache_, other.cache_);
    std::swap(chunks_, other.chunks_);
    return *this;
  }
  ~ChunkPins() {
    for (ChunkState* chunk : chunks_) cache_->Unpin(chunk);
  }

  void Add(const ChunkCache::Place& place) {
    chunks_.reserve(chunks_.size() + 1);  // so that nothing throws once it is pinned
    cache_->Pin(place);
    chunks_.push_back(place.state);
  }

 private:
  ChunkCache* cache_ = nullptr;
  std::vector<ChunkState*> chunks_;
};

}  // namespace ingot

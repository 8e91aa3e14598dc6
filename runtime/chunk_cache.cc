#include "runtime/chunk_cache.h"

#include <sys/mman.h>

namespace ingot {

void ChunkCache::Pin(const Place& place) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(place.state);
  if (found == entries_.end()) {
    std::list<ChunkState*> node(1, place.state);
    entries_.emplace(place.state, Entry{place, 1, node.begin()});
    busy_.splice(busy_.end(), node);
    return;
  }
  Entry& entry = found->second;
  if (entry.pins++ > 0) return;
  busy_.splice(busy_.end(), idle_, entry.node);
  idle_bytes_ -= entry.place.size;
}

void ChunkCache::Unpin(ChunkState* chunk) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(chunk);
  Entry& entry = at->second;
  if (--entry.pins > 0) return;
  if ((chunk->load(std::memory_order_acquire) & kChunkPresent) == 0) {  // it could not be read
    busy_.erase(entry.node);
    entries_.erase(at);
    return;
  }
  idle_.splice(idle_.end(), busy_, entry.node);
  idle_bytes_ += entry.place.size;
  DropIdle();
}

// A chunk without pins is nobody's to read or to load: whoever wants it pins it first, which waits for the mutex.
void ChunkCache::DropIdle() {
  while (idle_bytes_ > limit_) {
    const auto at = entries_.find(idle_.front());
    const Place place = at->second.place;
    place.state->fetch_and(static_cast<uint8_t>(~(kChunkPresent | kChunkVerified)), std::memory_order_acq_rel);
    madvise(place.bytes, place.size, MADV_DONTNEED);
    idle_bytes_ -= place.size;
    bytes_.fetch_sub(place.size, std::memory_order_relaxed);
    entries_.erase(at);
    idle_.pop_front();
  }
}

}  // namespace ingot

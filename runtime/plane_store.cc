#include "runtime/plane_store.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "runtime/chunk_verifier.h"

namespace ingot {

Result<std::unique_ptr<PlaneStore>> PlaneStore::Open(std::shared_ptr<const Container> container, const Options& options,
                                                     ChunkCache& cache, ArenaPool* arenas) {
  std::unique_ptr<PlaneStore> store(new PlaneStore(std::move(container), options, cache, arenas));
  // Zero pages, written where a chunk is used: opening costs nothing for chunks that never are.
  const uint64_t chunks = store->container_->index().count(Table::kChunks);
  auto memory = Reservation::Make(std::max<uint64_t>(chunks, 1) * sizeof(ChunkState), Reservation::Pages::kSmall,
                                  store->container_->path());
  if (!memory) return Propagate(memory);
  store->state_memory_ = std::move(*memory);
  static_assert(sizeof(ChunkState) == 1 && ChunkState::is_always_lock_free);
  store->states_ = new (store->state_memory_.data()) ChunkState[1];
  return store;
}

// Where a chunk's bytes lie, once its home has an address.
std::byte* PlaneStore::At(const PlaneRecord& plane, Home home, uint64_t chunk) const {
  switch (home) {
    case Home::kFile:
      return const_cast<std::byte*>(mapping_->bytes().data()) + plane.offset + chunk * kChunkSize;
    case Home::kPrivate:
      return private_base_.load(std::memory_order_acquire) + plane.offset + chunk * kChunkSize;
    case Home::kCache:
      break;
  }
  return decompressed_base_.load(std::memory_order_acquire) + (plane.first_frame + chunk) * kChunkSize;
}

Result<std::byte*> PlaneStore::Reserve(Home home) {
  const bool decompressed = home == Home::kCache;
  std::atomic<std::byte*>& base = decompressed ? decompressed_base_ : private_base_;
  if (std::byte* there = base.load(std::memory_order_acquire)) return there;
  const std::lock_guard lock(mutex_);
  Reservation& memory = decompressed ? decompressed_ : private_;
  if (memory.data() == nullptr) {
    const uint64_t size =
        decompressed ? container_->index().count(Table::kFrames) * kChunkSize : container_->header().file_end;
    // Not for chunks that are dropped one by one, nor for a few planes here and there.
    const bool huge = options_.huge_pages && !decompressed && !mapping_;
    auto made =
        Reservation::Make(size, huge ? Reservation::Pages::kHuge : Reservation::Pages::kSmall, container_->path());
    if (!made) return Propagate(made);
    memory = std::move(*made);
    base.store(memory.data(), std::memory_order_release);
  }
  return memory.data();
}

Result<const std::byte*> PlaneStore::AddressOf(uint32_t number, bool indices) {
  const PlaneRecord plane = container_->index().plane(number);
  const Home home = HomeOf(plane, indices);
  if (home != Home::kFile) {
    if (auto reserved = Reserve(home); !reserved) return Propagate(reserved);
  }
  return At(plane, home, 0);
}

bool PlaneStore::Ready(const PlaneRange& range) const {
  if (range.size == 0) return true;
  const PlaneRecord plane = container_->index().plane(range.plane);
  const Home home = HomeOf(plane, range.indices);
  if (home == Home::kCache) return false;  // needs a pin
  const uint8_t wanted = Wanted(home, options_.verify);
  if (wanted == 0) return true;
  const uint64_t last = (range.offset + range.size - 1) / kChunkSize;
  for (uint64_t chunk = range.offset / kChunkSize; chunk <= last; ++chunk) {
    if ((StateOf(plane, chunk).load(std::memory_order_acquire) & wanted) != wanted) return false;
  }
  return true;
}

Result<ChunkPins> PlaneStore::Use(std::span<const PlaneRange> ranges, bool always) {
  const bool verify = options_.verify || always;
  ChunkPins pins(cache_);
  std::vector<Chunk> missing;
  for (const PlaneRange& range : ranges) {
    if (range.size == 0) continue;
    const PlaneRecord plane = container_->index().plane(range.plane);
    const Home home = HomeOf(plane, range.indices);
    const uint8_t wanted = Wanted(home, verify);
    const uint64_t last = (range.offset + range.size - 1) / kChunkSize;
    for (uint64_t chunk = range.offset / kChunkSize; chunk <= last; ++chunk) {
      ChunkState& state = StateOf(plane, chunk);
      if (home == Home::kCache) {
        pins.Add({&state, At(plane, home, chunk), static_cast<uint32_t>(plane.chunk_size(chunk))});
      }
      if ((state.load(std::memory_order_acquire) & wanted) == wanted) continue;
      if (missing.empty() || missing.back().plane != range.plane || missing.back().number != chunk)
        missing.push_back({range.plane, chunk, home});
    }
  }
  if (auto ready = MakeAllReady(missing, verify); !ready) return Propagate(ready);
  return pins;
}

Status PlaneStore::MakeAllReady(std::span<const Chunk> chunks, bool verify) {
  if (chunks.size() <= 1) {
    for (const Chunk& chunk : chunks) {
      if (auto made = MakeReady(chunk, verify); !made)
        return tl::unexpected(ErrorOf(chunk.plane, chunk.number, made.error()));
    }
    return {};
  }
  // Of several chunks that fail, the first is named, so that the message is the same every time.
  std::mutex mutex;
  size_t failed = chunks.size();
  ChunkFault fault;
  const auto run = [&] {
    tbb::parallel_for(size_t{0}, chunks.size(), [&](size_t i) {
      auto made = MakeReady(chunks[i], verify);
      if (made) return;
      const std::lock_guard lock(mutex);
      if (i < failed) failed = i, fault = std::move(made.error());
    });
  };
  if (arenas_ != nullptr) {
    arenas_->Run(run);
  } else {
    run();
  }
  if (failed == chunks.size()) return {};
  return tl::unexpected(ErrorOf(chunks[failed].plane, chunks[failed].number, fault));
}

void PlaneStore::Mark(ChunkState& state, uint8_t bits, uint64_t size) {
  const uint8_t before = state.fetch_or(bits, std::memory_order_acq_rel);
  if ((bits & ~before & kChunkCounted) != 0) verified_bytes_.fetch_add(size, std::memory_order_relaxed);
}

ChunkResult<void> PlaneStore::MakeReady(const Chunk& chunk, bool verify) {
  const Index& index = container_->index();
  const PlaneRecord plane = index.plane(chunk.plane);
  const uint32_t record = static_cast<uint32_t>(plane.first_chunk + chunk.number);
  const uint64_t size = plane.chunk_size(chunk.number);
  const std::span<std::byte> bytes(At(plane, chunk.home, chunk.number), size);
  ChunkState& state = StateOf(plane, chunk.number);
  constexpr uint8_t kChecked = kChunkVerified | kChunkCounted;
  if (chunk.home == Home::kFile) {  // two threads may check the same chunk, which harms nobody
    // What is not in the page cache is read by one call; for the rest, faults one by one are faster (41 and 28 GB/s).
    constexpr uint64_t kWorthACall = 64 << 10;
    const uint64_t offset = plane.offset + chunk.number * kChunkSize;
    if (size >= kWorthACall && !mapping_->Resident(offset, size)) mapping_->Populate(offset, size);
    if (auto checked = CheckChunk(bytes, index.chunk(record)); !checked) return checked;
    Mark(state, kChecked, size);
    return {};
  }
  const std::lock_guard lock(loading_[record % loading_.size()]);
  const uint8_t before = state.load(std::memory_order_acquire);
  if ((before & Wanted(chunk.home, verify)) == Wanted(chunk.home, verify)) return {};
  if ((before & kChunkPresent) == 0) {
    thread_local FrameDecoder decoder;
    auto read = ReadChunkBytes(container_->file(), index, chunk.plane, chunk.number, decoder, bytes);
    if (!read) return read;
    state.fetch_and(static_cast<uint8_t>(~kChunkVerified), std::memory_order_acq_rel);  // what is there now, is not yet
  }
  if (verify) {
    if (auto checked = CheckChunk(bytes, index.chunk(record)); !checked) return checked;
  }
  Mark(state, static_cast<uint8_t>(kChunkPresent | (verify ? kChecked : 0)), size);
  if ((before & kChunkPresent) != 0) return {};
  if (chunk.home == Home::kCache) {
    cache_.Arrived(size);
  } else {
    private_bytes_.fetch_add(size, std::memory_order_relaxed);
  }
  return {};
}

// From the mapped file, as far as it is in memory; what is not comes in faster by reading, and never by a SIGBUS.
ChunkResult<void> PlaneStore::CopyPieces(const PlaneRecord& plane, uint64_t chunk, std::span<std::byte> out,
                                         bool verify) const {
  constexpr uint64_t kPiece = 64 << 10;  // in the second-level cache both as it is copied and as it is hashed
  const uint64_t offset = plane.offset + chunk * kChunkSize;
  const bool mapped = mapping_ && out.size() >= kPiece && mapping_->Resident(offset, out.size());
  if (mapped) mapping_->Populate(offset, out.size());
  thread_local Xxh3Stream hash;
  if (verify) hash.Reset();
  for (uint64_t at = 0; at < out.size(); at += kPiece) {
    const auto piece = out.subspan(at, std::min(kPiece, out.size() - at));
    if (mapped) {
      std::memcpy(piece.data(), mapping_->bytes().data() + offset + at, piece.size());
    } else if (auto read = container_->file().ReadAt(offset + at, piece); !read) {
      return tl::unexpected<ChunkFault>(ChunkFault{"", read.error().message});
    }
    if (verify) hash.Update(piece);
  }
  if (!verify) return {};
  const auto record = static_cast<uint32_t>(plane.first_chunk + chunk);
  return CompareHash(out.size(), hash.Digest(), container_->index().chunk(record));
}

Result<bool> PlaneStore::CopyChunk(uint32_t number, uint64_t chunk, FrameDecoder& decoder, std::span<std::byte> out) {
  const Index& index = container_->index();
  const PlaneRecord plane = index.plane(number);
  const Home home = HomeOf(plane, false);
  ChunkState& state = StateOf(plane, chunk);
  const uint8_t known = state.load(std::memory_order_acquire), wanted = Wanted(home, options_.verify);
  const bool trusted = home != Home::kCache && (known & wanted) == wanted;
  if (trusted && home == Home::kPrivate) {  // it stays there
    std::memcpy(out.data(), At(plane, home, chunk), out.size());
    return false;
  }
  const bool verify = options_.verify && !trusted;
  ChunkResult<void> copied;
  if (plane.framed()) {
    copied = ReadChunkBytes(container_->file(), index, number, chunk, decoder, out);
    if (copied && verify) copied = CheckChunk(out, index.chunk(static_cast<uint32_t>(plane.first_chunk + chunk)));
  } else {
    copied = CopyPieces(plane, chunk, out, verify);
  }
  if (!copied) return tl::unexpected(ErrorOf(number, chunk, copied.error()));
  // Only what was mapped is also what will be used from here.
  const uint8_t checked = home == Home::kFile ? kChunkCounted | kChunkVerified : kChunkCounted;
  if (verify) Mark(state, checked, out.size());
  return verify;
}

Error PlaneStore::ErrorOf(uint32_t plane, uint64_t chunk, const ChunkFault& fault) const {
  const std::string place = fmt::format("plane {}, chunk {}{}", plane, chunk, OwnerOfPlane(container_->index(), plane));
  if (fault.rule.empty()) return {ErrorCode::kIo, fmt::format("{} ({})", fault.message, place)};
  return {ErrorCode::kBadInput, TextOf(container_->path(), {fault.rule, place, fault.message})};
}

uint64_t PlaneStore::stored_bytes() const {
  const Index& index = container_->index();
  uint64_t total = 0;
  for (uint32_t i = 0; i < index.plane_count(); ++i) total += index.stored_size(index.plane(i));
  return total;
}

Status PlaneStore::VerifyAll(const ProgressFn& progress) {
  const Index& index = container_->index();
  const uint64_t total = stored_bytes();
  uint64_t done = 0;
  std::mutex mutex;
  bool stopped = false;
  std::optional<std::pair<uint32_t, uint64_t>> failed;
  ChunkFault fault;
  const auto skip = [&](uint32_t record) {
    return (states_[record].load(std::memory_order_relaxed) & kChunkCounted) != 0;
  };
  const auto on_chunk = [&](uint32_t number, uint64_t chunk, ChunkResult<void> checked) {
    const PlaneRecord plane = index.plane(number);
    if (checked) {
      // What was read for the check is not what will be used, unless that is the mapped file.
      const bool in_place = HomeOf(plane, false) == Home::kFile;
      Mark(StateOf(plane, chunk), in_place ? kChunkCounted | kChunkVerified : kChunkCounted, plane.chunk_size(chunk));
      return;
    }
    const std::lock_guard lock(mutex);
    const std::pair<uint32_t, uint64_t> at(number, chunk);
    if (!failed || at < *failed) failed = at, fault = std::move(checked.error());
  };
  const auto on_bytes = [&](uint64_t bytes) {
    const std::lock_guard lock(mutex);
    done += bytes;
    stopped = stopped || !KeepGoing(progress, done, total);
    return !stopped;
  };
  const ChunkVerifier verifier(container_->file(), index, mapping_ ? &*mapping_ : nullptr);
  const auto run = [&] { verifier.Run(skip, on_chunk, on_bytes); };
  if (arenas_ != nullptr) {
    arenas_->Run(run);
  } else {
    run();
  }
  if (failed) return tl::unexpected(ErrorOf(failed->first, failed->second, fault));
  if (stopped) return Interrupted();
  return {};
}

void PlaneStore::Prefetch(const PlaneRange& range) const {
  if (range.size == 0) return;
  const Index& index = container_->index();
  const PlaneRecord plane = index.plane(range.plane);
  uint64_t first = range.offset, size = range.size;
  if (plane.framed()) {
    const FrameRecord begin = index.frame(static_cast<uint32_t>(plane.first_frame + first / kChunkSize));
    const FrameRecord last = index.frame(static_cast<uint32_t>(plane.first_frame + (first + size - 1) / kChunkSize));
    first = begin.offset, size = last.offset + last.size - begin.offset;
  }
  container_->file().ReadAhead(plane.offset + first, size);
}

}  // namespace ingot

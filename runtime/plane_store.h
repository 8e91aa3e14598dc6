// The bytes of a file's planes, each plane at one address: in the mapped file, or in private memory that is filled
// chunk by chunk as it is needed. Every chunk is verified once, before its first use.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "format/chunk.h"
#include "runtime/chunk_cache.h"
#include "runtime/container.h"
#include "runtime/mapping.h"
#include "runtime/progress.h"
#include "runtime/reservation.h"
#include "runtime/threads.h"

namespace ingot {

// Bytes [offset, offset + size) of a plane; they lie in it.
struct PlaneRange {
  uint32_t plane = 0;
  bool indices = false;  // the plane holds indices: only a private copy of it is used (R-R-6)
  uint64_t offset = 0;
  uint64_t size = 0;
};

// Thread-safe. Addresses hold as long as the store; what may be read at them is what Use has said.
class PlaneStore {
 public:
  struct Options {
    bool map = true;          // where planes are stored raw; false: everything is read by pread
    bool verify = true;       // before the first use of a chunk
    bool huge_pages = false;  // for planes that are read
  };
  // `cache` and `arenas` must outlive it; without arenas it runs on the caller's. kMemory.
  static Result<std::unique_ptr<PlaneStore>> Open(std::shared_ptr<const Container> container, const Options& options,
                                                  ChunkCache& cache, ArenaPool* arenas);

  const Container& container() const { return *container_; }
  const std::shared_ptr<const Container>& shared_container() const { return container_; }
  bool verifies() const { return options_.verify; }

  // Where a plane is or will be. kMemory if there is no address space for it.
  Result<const std::byte*> AddressOf(uint32_t plane, bool indices);

  // Whether a range can be used without further ado.
  bool Ready(const PlaneRange& range) const;

  // Makes ranges usable until the pins are gone, in parallel: reads, decompresses, verifies (`always`: even if the
  // store does not). Their planes' addresses must have been asked for. The first chunk that fails is kBadInput, naming
  // file, rule, plane, chunk and tensor, or kIo.
  Result<ChunkPins> Use(std::span<const PlaneRange> ranges, bool always = false);

  // The logical bytes of a chunk of a plane without indices, copied to `out` (plane.chunk_size(chunk) of them) for who
  // keeps a copy of its own: one pass, each piece hashed while it is in a cache. What is hashed is the
  // copy, if the store verifies and did not verify this very chunk before; none of it stays in the store. The result:
  // whether it was hashed. Errors as of Use.
  Result<bool> CopyChunk(uint32_t plane, uint64_t chunk, FrameDecoder& decoder, std::span<std::byte> out);

  // Verifies every chunk that never was, wherever it will be used from. kInterrupted.
  Status VerifyAll(const ProgressFn& progress);

  // Asks the system to read a range ahead.
  void Prefetch(const PlaneRange& range) const;

  uint64_t stored_bytes() const;  // of all planes
  uint64_t mapped_bytes() const { return mapping_ ? mapping_->bytes().size() : 0; }
  uint64_t resident_bytes() const { return mapping_ ? mapping_->ResidentBytes() : 0; }
  uint64_t private_bytes() const { return private_bytes_.load(std::memory_order_relaxed); }
  uint64_t verified_bytes() const { return verified_bytes_.load(std::memory_order_relaxed); }

 private:
  enum class Home { kFile, kPrivate, kCache };
  struct Chunk {
    uint32_t plane;
    uint64_t number;
    Home home;
  };
  PlaneStore(std::shared_ptr<const Container> container, const Options& options, ChunkCache& cache, ArenaPool* arenas)
      : container_(std::move(container)),
        options_(options),
        cache_(cache),
        arenas_(arenas),
        mapping_(options.map ? Mapping::Map(container_->file()) : std::nullopt) {}

  Home HomeOf(const PlaneRecord& plane, bool indices) const {
    return plane.framed() ? Home::kCache : indices || !mapping_ ? Home::kPrivate : Home::kFile;
  }
  uint8_t Wanted(Home home, bool verify) const {
    return static_cast<uint8_t>((home == Home::kFile ? 0 : kChunkPresent) | (verify ? kChunkVerified : 0));
  }
  ChunkState& StateOf(const PlaneRecord& plane, uint64_t chunk) const { return states_[plane.first_chunk + chunk]; }
  std::byte* At(const PlaneRecord& plane, Home home, uint64_t chunk) const;
  Result<std::byte*> Reserve(Home home);
  void Mark(ChunkState& state, uint8_t bits, uint64_t size);
  ChunkResult<void> MakeReady(const Chunk& chunk, bool verify);
  ChunkResult<void> CopyPieces(const PlaneRecord& plane, uint64_t chunk, std::span<std::byte> out, bool verify) const;
  Status MakeAllReady(std::span<const Chunk> chunks, bool verify);
  Error ErrorOf(uint32_t plane, uint64_t chunk, const ChunkFault& fault) const;

  std::shared_ptr<const Container> container_;
  const Options options_;
  ChunkCache& cache_;
  ArenaPool* const arenas_;
  const std::optional<Mapping> mapping_;
  Reservation state_memory_;
  ChunkState* states_ = nullptr;  // one for each record of the chunk table
  std::atomic<uint64_t> private_bytes_{0}, verified_bytes_{0};

  std::mutex mutex_;          // of making the reservations
  Reservation private_;       // planes that are stored raw, at their offsets in the file
  Reservation decompressed_;  // a chunk of room for each frame
  std::atomic<std::byte*> private_base_{nullptr}, decompressed_base_{nullptr};
  std::array<std::mutex, 64> loading_;  // chunk number i of the file is brought in under loading_[i % 64]
};

}  // namespace ingot

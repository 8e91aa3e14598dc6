// One .ingot file, opened for reading: header and index checked, planes on request, every chunk verified as it is read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format/chunk.h"
#include "format/header.h"
#include "format/index.h"
#include "format/status.h"
#include "runtime/file.h"

namespace ingot {

// Immutable after Open; all reads are thread-safe.
class Container {
 public:
  // Opens and validates header and index (every rule that needs no plane). One bad header slot is accepted. The first
  // violation, a truncated file among them, is kBadInput and names file, rule, place and values.
  static Result<std::shared_ptr<const Container>> Open(const std::string& path);

  const File& file() const { return file_; }
  const std::string& path() const { return file_.path(); }
  const Header& header() const { return index_.header(); }
  const Index& index() const { return index_; }

  // Reads the logical bytes of one chunk into `out` (plane.chunk_size(chunk) of them) and verifies them. kBadInput
  // names rule, plane and chunk.
  Status ReadChunk(uint32_t plane, uint64_t chunk, FrameDecoder& decoder, std::span<std::byte> out) const;

  // All logical bytes of a plane, verified, in private memory. Chunks are read in parallel.
  Result<std::vector<std::byte>> ReadPlane(uint32_t plane) const;

 private:
  Container(File file, Index index) : file_(std::move(file)), index_(std::move(index)) {}
  File file_;
  Index index_;
};

// Reads `size` bytes of a file into private memory: huge pages for large ones, since a large index is read in one go.
Result<IndexBytes> ReadPrivate(const File& file, uint64_t offset, uint64_t size);

// Logical bytes of chunk `chunk` into `out` (as many as the chunk has), by pread. The stored bytes of a frame are
// verified, the logical ones are not. A fault without a rule is an I/O failure or a file that has become shorter.
ChunkResult<void> ReadChunkBytes(const File& file, const Index& index, uint32_t plane, uint64_t chunk,
                                 FrameDecoder& decoder, std::span<std::byte> out);

// The same; verified against the index.
ChunkResult<void> ReadAndCheckChunk(const File& file, const Index& index, uint32_t plane, uint64_t chunk,
                                    FrameDecoder& decoder, std::span<std::byte> out);

// " of tensor 'x'" or " of attachment 'x'" for messages about a plane; "" where nothing owns it. A scan of the index.
std::string OwnerOfPlane(const Index& index, uint32_t plane);

// "FILE: R-HDR-2: header slot 0: ..." as every message about a violation reads.
std::string TextOf(const std::string& file, const Violation& violation);

}  // namespace ingot

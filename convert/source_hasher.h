// Hashes source files on the way: whoever reads them front to back passes the bytes through here. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "convert/source.h"
#include "format/hash.h"

namespace ingot {

class SourceHasher {
 public:
  struct Digest {
    Hash128 hash;
    Sha256 sha256{};
  };

  // Without `on` nothing is hashed, and nothing read.
  SourceHasher(const Source& source, bool sha256, bool on);

  // Takes bytes that were read at `offset` of a file; what lies between the last call's end and `offset` is read and
  // hashed first. Bytes before that end are not hashed again.
  Status Update(uint32_t file, uint64_t offset, ByteSpan bytes);
  // Reads what is left of every file, and gives their digests in the order of source.files().
  Result<std::vector<Digest>> Finish();

 private:
  struct State {
    uint64_t hashed = 0;
    Xxh3Stream xxh;
    std::unique_ptr<Sha256Stream> sha256;
  };
  Status CatchUp(uint32_t file, uint64_t offset);
  void Hash(State& state, ByteSpan bytes);
  const Source& source_;
  std::vector<State> states_;
};

}  // namespace ingot

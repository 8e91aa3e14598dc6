#include "convert/source_hasher.h"

#include <algorithm>

#include "convert/io_bytes.h"

namespace ingot {

SourceHasher::SourceHasher(const Source& source, bool sha256, bool on)
    : source_(source), states_(on ? source.files().size() : 0) {
  for (State& state : states_) {
    if (sha256) state.sha256 = std::make_unique<Sha256Stream>();
  }
}

void SourceHasher::Hash(State& state, ByteSpan bytes) {
  state.xxh.Update(bytes);
  if (state.sha256) state.sha256->Update(bytes);
  state.hashed += bytes.size();
}

Status SourceHasher::CatchUp(uint32_t file, uint64_t offset) {
  constexpr uint64_t kPiece = 1 << 20;
  State& state = states_[file];
  IoBytes buffer;
  while (state.hashed < offset) {
    buffer.resize(std::min(kPiece, offset - state.hashed));
    if (auto read = source_.Read(file, state.hashed, buffer); !read) return read;
    Hash(state, buffer);
  }
  return {};
}

Status SourceHasher::Update(uint32_t file, uint64_t offset, ByteSpan bytes) {
  if (states_.empty()) return {};
  if (auto done = CatchUp(file, offset); !done) return done;
  State& state = states_[file];
  const uint64_t known = state.hashed - offset;  // at least 0: CatchUp came to `offset` or further
  if (known < bytes.size()) Hash(state, bytes.subspan(known));
  return {};
}

Result<std::vector<SourceHasher::Digest>> SourceHasher::Finish() {
  std::vector<Digest> digests;
  for (uint32_t i = 0; i < states_.size(); ++i) {
    if (auto done = CatchUp(i, source_.files()[i].size); !done) return Propagate(done);
    Digest digest;
    digest.hash = states_[i].xxh.Digest();
    if (states_[i].sha256) digest.sha256 = states_[i].sha256->Finish();
    digests.push_back(digest);
  }
  return digests;
}

}  // namespace ingot

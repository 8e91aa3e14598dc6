#include "format/hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <xxh_x86dispatch.h>

#include <new>

namespace ingot {
namespace {

Hash128 FromXxh(XXH128_hash_t hash) { return {hash.low64, hash.high64}; }

}  // namespace

// The dispatch symbols pick SSE2, AVX2 or AVX-512 at run time; Debian's plain ones are an SSE2 build.
Hash128 Xxh3_128(ByteSpan bytes) { return FromXxh(XXH3_128bits_dispatch(bytes.data(), bytes.size())); }

uint64_t Xxh3_64(ByteSpan bytes) { return XXH3_64bits_dispatch(bytes.data(), bytes.size()); }

struct Xxh3Stream::State {
  State() : xxh(XXH3_createState()) {
    if (xxh == nullptr) throw std::bad_alloc();
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  XXH3_state_t* xxh;
};

Xxh3Stream::Xxh3Stream() : state_(std::make_unique<State>()) { Reset(); }
Xxh3Stream::~Xxh3Stream() = default;
Xxh3Stream::Xxh3Stream(Xxh3Stream&&) noexcept = default;
Xxh3Stream& Xxh3Stream::operator=(Xxh3Stream&&) noexcept = default;
void Xxh3Stream::Reset() { XXH3_128bits_reset(state_->xxh); }
void Xxh3Stream::Update(ByteSpan bytes) { XXH3_128bits_update_dispatch(state_->xxh, bytes.data(), bytes.size()); }
Hash128 Xxh3Stream::Digest() const { return FromXxh(XXH3_128bits_digest(state_->xxh)); }

struct Sha256Stream::State {
  State() : evp(EVP_MD_CTX_new()) {
    if (evp == nullptr || EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
  }
  ~State() { EVP_MD_CTX_free(evp); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  EVP_MD_CTX* evp;
};

Sha256Stream::Sha256Stream() : state_(std::make_unique<State>()) {}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;
void Sha256Stream::Update(ByteSpan bytes) { EVP_DigestUpdate(state_->evp, bytes.data(), bytes.size()); }

Sha256 Sha256Stream::Finish() {
  Sha256 digest;
  EVP_DigestFinal_ex(state_->evp, reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return digest;
}

Sha256 Sha256Of(ByteSpan bytes) {
  Sha256Stream stream;
  stream.Update(bytes);
  return stream.Finish();
}

std::string ToHex(const Hash128& hash) { return fmt::format("{:016x}{:016x}", hash.high, hash.low); }

std::string ToHex(ByteSpan bytes) {
  std::string text;
  for (std::byte b : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return text;
}

}  // namespace ingot

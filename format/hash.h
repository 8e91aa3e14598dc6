// The hashes of the format: XXH3-128 and XXH3-64 (seed 0), and SHA-256. XXH3 detects damage, not forgery.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "format/bytes.h"

namespace ingot {

// An XXH3-128 value as it is stored: the 64 low bits, then the 64 high bits, each little-endian.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
};

using Sha256 = std::array<std::byte, 32>;

Hash128 Xxh3_128(ByteSpan bytes);
uint64_t Xxh3_64(ByteSpan bytes);
Sha256 Sha256Of(ByteSpan bytes);

// XXH3-128 of bytes that arrive in pieces. Not thread-safe; one owner.
class Xxh3Stream {
 public:
  Xxh3Stream();
  ~Xxh3Stream();
  Xxh3Stream(Xxh3Stream&&) noexcept;
  Xxh3Stream& operator=(Xxh3Stream&&) noexcept;
  void Reset();
  void Update(ByteSpan bytes);
  Hash128 Digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// SHA-256 of bytes that arrive in pieces. Not thread-safe; one owner.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;
  void Update(ByteSpan bytes);
  Sha256 Finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 32 hexadecimal digits, the high half first (as `xxhsum -H2` prints it).
std::string ToHex(const Hash128& hash);
std::string ToHex(ByteSpan bytes);

}  // namespace ingot

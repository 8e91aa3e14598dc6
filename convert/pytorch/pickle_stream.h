// The bytes of a pickle, taken one instruction after the other. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "convert/byte_source.h"
#include "format/status.h"

namespace ingot {

// What `source` was made of must outlive it.
class PickleStream {
 public:
  PickleStream(const ByteSource& source, uint64_t begin, uint64_t end) : source_(source), at_(begin), end_(end) {}

  uint64_t position() const { return at_; }
  uint64_t remaining() const { return end_ - at_; }

  Status Take(std::span<std::byte> out) {
    if (out.size() > remaining()) return Fail(ErrorCode::kBadInput, "cut off");
    while (!out.empty()) {
      if (at_ < first_ || at_ >= first_ + buffer_.size()) {
        if (auto filled = Fill(); !filled) return filled;
      }
      const auto from = std::span(buffer_).subspan(at_ - first_);
      const size_t count = std::min(from.size(), out.size());
      std::copy_n(from.begin(), count, out.begin());
      out = out.subspan(count);
      at_ += count;
    }
    return {};
  }

  template <typename T>
  Result<T> Take() {
    std::byte bytes[sizeof(T)];
    if (auto taken = Take(bytes); !taken) return Propagate(taken);
    return Load<T>(bytes);
  }

  // The text before the next line feed, which is taken too.
  Result<std::string> TakeLine(size_t most) {
    std::string line;
    while (true) {
      const auto c = Take<char>();
      if (!c) return Propagate(c);
      if (*c == '\n') return line;
      if (line.size() == most) return Fail(ErrorCode::kBadInput, "a name of more than {} bytes", most);
      line += *c;
    }
  }

 private:
  Status Fill() {
    constexpr uint64_t kPiece = 1 << 16;
    buffer_.resize(std::min(kPiece, end_ - at_));
    first_ = at_;
    return source_.read(first_, buffer_);
  }

  const ByteSource& source_;
  uint64_t at_;
  uint64_t end_;
  uint64_t first_ = 0;  // of the buffer
  std::vector<std::byte> buffer_;
};

}  // namespace ingot

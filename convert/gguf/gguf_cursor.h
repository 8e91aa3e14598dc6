// Reads the header of a GGUF file from front to back, and says where something is wrong. Not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "convert/byte_source.h"
#include "format/bytes.h"
#include "format/status.h"

namespace ingot {

// A view of its source. Memory grows only by bytes that were read.
class GgufCursor {
 public:
  GgufCursor(const ByteSource& source, std::string file) : source_(source), file_(std::move(file)) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return source_.size - position_; }
  uint64_t size() const { return source_.size; }

  // What is being read, as messages name it: "tensor 'x'".
  void SetPlace(std::string place) { place_ = std::move(place); }
  template <typename... Args>
  tl::unexpected<Error> Bad(fmt::format_string<Args...> text, Args&&... args) const {
    return Fail(ErrorCode::kBadInput, "{}: {}{}{}", file_, place_, place_.empty() ? "" : ": ",
                fmt::format(text, std::forward<Args>(args)...));
  }

  // Numbers are read as they are: signed ones of the format as unsigned, to be compared with what is there.
  template <typename T>
  Status Read(T& value) {
    std::array<std::byte, sizeof value> bytes;
    if (auto read = ReadTo(bytes); !read) return read;
    value = Load<T>(bytes.data());
    return {};
  }

  // Appends the next `count` bytes.
  Status ReadBytes(uint64_t count, std::vector<std::byte>& to) {
    if (count > left()) return Truncated(count);
    for (uint64_t done = 0, piece = 0; done < count; done += piece) {
      piece = std::min<uint64_t>(kWindow, count - done);
      const size_t at = to.size();
      to.resize(at + piece);
      if (auto read = ReadTo(std::span(to).subspan(at)); !read) return read;
    }
    return {};
  }

  // A length and as many bytes, at most `most`.
  Status ReadText(uint64_t most, std::string& text) {
    uint64_t length = 0;
    if (auto read = Read(length); !read) return read;
    if (length > left()) return Truncated(length);
    if (length > most) return Bad("a text of {} bytes, at most {} are supported", length, most);
    text.resize(length);
    return ReadTo(std::as_writable_bytes(std::span(text)));
  }

 private:
  static constexpr size_t kWindow = 1 << 16;

  tl::unexpected<Error> Truncated(uint64_t wanted) const {
    return Bad("truncated: {} bytes wanted at byte {} of {}", wanted, position_, source_.size);
  }

  Status ReadTo(std::span<std::byte> out) {
    if (out.size() > left()) return Truncated(out.size());
    while (!out.empty()) {
      const uint64_t at = position_ - window_start_;
      if (at >= window_.size()) {
        window_.resize(std::min<uint64_t>(kWindow, left()));
        window_start_ = position_;
        if (auto read = source_.read(position_, window_); !read) return read;
        continue;
      }
      const size_t piece = std::min<size_t>(out.size(), window_.size() - at);
      std::memcpy(out.data(), window_.data() + at, piece);
      out = out.subspan(piece);
      position_ += piece;
    }
    return {};
  }

  const ByteSource& source_;
  std::string file_, place_;
  uint64_t position_ = 0, window_start_ = 0;
  std::vector<std::byte> window_;
};

}  // namespace ingot

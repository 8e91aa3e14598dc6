// Bytes that are read at any offset: a file, or memory in tests. What the parsers of headers read from.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>

#include "format/bytes.h"
#include "format/checked.h"
#include "format/status.h"
#include "runtime/file.h"

namespace ingot {

// A view: what it was made of must outlive it. As thread-safe as `read` is (both makers below: fully).
struct ByteSource {
  uint64_t size;
  std::function<Status(uint64_t offset, std::span<std::byte> out)> read;
};

inline ByteSource SourceOf(const File& file) {
  return {file.size(), [&file](uint64_t offset, std::span<std::byte> out) { return file.ReadAt(offset, out); }};
}

inline ByteSource SourceOf(ByteSpan bytes) {
  return {bytes.size(), [bytes](uint64_t offset, std::span<std::byte> out) -> Status {
            if (!InRange(offset, out.size(), bytes.size())) {
              return Fail(ErrorCode::kBadInput, "truncated: {} bytes, {} wanted at byte {}", bytes.size(), out.size(),
                          offset);
            }
            if (!out.empty()) std::memcpy(out.data(), bytes.data() + offset, out.size());
            return {};
          }};
}

}  // namespace ingot

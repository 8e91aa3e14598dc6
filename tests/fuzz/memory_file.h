// A file without a name in any folder, which functions that take a path can open.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "format/bytes.h"
#include "tests/fuzz/require.h"

namespace ingot {

class MemoryFile {
 public:
  explicit MemoryFile(ByteSpan bytes) : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    Require(descriptor_ >= 0);
    while (!bytes.empty()) {
      const ssize_t wrote = write(descriptor_, bytes.data(), bytes.size());
      Require(wrote > 0);
      bytes = bytes.subspan(static_cast<size_t>(wrote));
    }
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace ingot

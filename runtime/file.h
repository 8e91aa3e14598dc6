// A file opened for reading, read by pread: no SIGBUS when another program truncates it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "format/bytes.h"
#include "format/status.h"

namespace ingot {

// Owns a file descriptor. Movable. Reading is thread-safe (pread keeps no position).
class File {
 public:
  // Opens a regular file; anything else (a directory, a pipe) is refused. Errors: kIo with the path and the reason.
  static Result<File> OpenForReading(const std::string& path);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  // Fills `out` from `offset`. Retries short reads; reaching the end first is kBadInput ("truncated"), a failure kIo.
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const;

  // Tells the kernel that the file will be read from front to back: it then reads further ahead.
  void ExpectSequentialReads() const;

  // Asks the kernel to read a range into the page cache, without waiting for it.
  void ReadAhead(uint64_t offset, uint64_t size) const;

  int descriptor() const { return descriptor_; }
  uint64_t size() const { return size_; }            // at the time of opening
  const std::string& path() const { return path_; }  // as given to OpenForReading

 private:
  File(int descriptor, uint64_t size, std::string path);
  int descriptor_ = -1;
  uint64_t size_ = 0;
  std::string path_;
};

// The whole of a small file; kBadInput if it is larger than `limit` bytes.
Result<std::string> ReadWholeFile(const std::string& path, uint64_t limit);

}  // namespace ingot

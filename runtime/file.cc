#include "runtime/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace ingot {

Result<File> File::OpenForReading(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return Fail(ErrorCode::kIo, "{}: cannot open: {}", path, std::strerror(errno));
  struct stat info;
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    return Fail(ErrorCode::kIo, "{}: not a regular file", path);
  }
  return File(descriptor, static_cast<uint64_t>(info.st_size), path);
}

File::File(int descriptor, uint64_t size, std::string path)
    : descriptor_(descriptor), size_(size), path_(std::move(path)) {}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

Status File::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  constexpr size_t kMostPerCall = size_t{1} << 30;
  while (!out.empty()) {
    const ssize_t got = pread(descriptor_, out.data(), std::min(out.size(), kMostPerCall), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrorCode::kIo, "{}: cannot read at byte {}: {}", path_, offset, std::strerror(errno));
    if (got == 0)
      return Fail(ErrorCode::kBadInput, "{}: truncated: ends at byte {}, {} more expected", path_, offset, out.size());
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
  return {};
}

void File::ExpectSequentialReads() const { posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL); }

void File::ReadAhead(uint64_t offset, uint64_t size) const {
  // The kernel reads no more per call than a device's largest request, which no device has below this.
  constexpr uint64_t kStep = 128 << 10;
  for (uint64_t at = 0; at < size; at += kStep) {
    posix_fadvise(descriptor_, static_cast<off_t>(offset + at), static_cast<off_t>(std::min(kStep, size - at)),
                  POSIX_FADV_WILLNEED);
  }
}

Result<std::string> ReadWholeFile(const std::string& path, uint64_t limit) {
  auto file = File::OpenForReading(path);
  if (!file) return Propagate(file);
  if (file->size() > limit) {
    return Fail(ErrorCode::kBadInput, "{}: {} bytes, at most {} are read", path, file->size(), limit);
  }
  std::string text(file->size(), '\0');
  if (auto read = file->ReadAt(0, std::as_writable_bytes(std::span(text))); !read) return Propagate(read);
  return text;
}

}  // namespace ingot

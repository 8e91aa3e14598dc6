#include "runtime/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "format/hash.h"
#include "runtime/model.h"

namespace ingot {
namespace {

// Names may have 255 bytes; where ".NAME.partial" would have more, a hash of the name takes its place.
std::string PartialName(const std::string& target) {
  constexpr size_t kLongestName = 255 - std::string_view("..partial").size();
  const std::string folder = FolderOf(target);
  std::string name = target.substr(folder.size());
  if (name.size() > kLongestName) name = ToHex(Xxh3_128(AsBytes(name)));
  return folder + "." + name + ".partial";
}

// Opens the partial file and locks it. Whoever held it may have renamed or removed it while we waited for the
// descriptor: then the name is tried again.
Result<int> OpenLocked(const std::string& partial) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int descriptor = open(partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (descriptor < 0) return Fail(ErrorCode::kIo, "{}: cannot create: {}", partial, std::strerror(errno));
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      const int reason = errno;
      close(descriptor);
      if (reason == EWOULDBLOCK) return Fail(ErrorCode::kIo, "{}: another process is writing it", partial);
      return Fail(ErrorCode::kIo, "{}: cannot lock: {}", partial, std::strerror(reason));
    }
    struct stat by_descriptor, by_name;
    if (fstat(descriptor, &by_descriptor) == 0 && lstat(partial.c_str(), &by_name) == 0 &&
        by_descriptor.st_ino == by_name.st_ino && by_descriptor.st_dev == by_name.st_dev &&
        S_ISREG(by_descriptor.st_mode)) {
      return descriptor;
    }
    close(descriptor);
  }
  return Fail(ErrorCode::kIo, "{}: other processes keep replacing it", partial);
}

}  // namespace

Result<OutputFile> OutputFile::Create(const std::string& target, bool replace) {
  struct stat info;
  if (lstat(target.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode))
      return Fail(ErrorCode::kUsage, "{}: exists and is not a regular file", target);
    if (!replace) return Fail(ErrorCode::kUsage, "{}: exists; --force replaces it", target);
  }
  if (target.empty() || target.back() == '/') return Fail(ErrorCode::kUsage, "'{}': not a file name", target);
  OutputFile file;
  file.target_ = target;
  file.partial_ = PartialName(target);
  file.replace_ = replace;
  auto descriptor = OpenLocked(file.partial_);
  if (!descriptor) return Propagate(descriptor);
  file.descriptor_ = *descriptor;
  if (auto cut = file.Truncate(0); !cut) return Propagate(cut);
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      replace_(other.replace_),
      sync_seconds_(other.sync_seconds_),
      target_(std::move(other.target_)),
      partial_(std::move(other.partial_)) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(replace_, other.replace_);
  std::swap(sync_seconds_, other.sync_seconds_);
  std::swap(target_, other.target_);
  std::swap(partial_, other.partial_);
  return *this;
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  unlink(partial_.c_str());  // before the lock is given up
  close(descriptor_);
}

Error OutputFile::IoError(const char* what) const {
  return {ErrorCode::kIo, fmt::format("{}: {}: {}", target_, what, std::strerror(errno))};
}

Status OutputFile::WriteAt(uint64_t offset, ByteSpan bytes) {
  constexpr size_t kMostPerCall = size_t{1} << 30;
  while (!bytes.empty()) {
    const ssize_t put =
        pwrite(descriptor_, bytes.data(), std::min(bytes.size(), kMostPerCall), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return tl::unexpected(IoError("cannot write"));
    offset += static_cast<uint64_t>(put);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return {};
}

Status OutputFile::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return tl::unexpected(IoError("cannot read back"));
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
  return {};
}

Status OutputFile::Truncate(uint64_t size) {
  if (ftruncate(descriptor_, static_cast<off_t>(size)) != 0) return tl::unexpected(IoError("cannot set its length"));
  return {};
}

Status OutputFile::Flush() {
  const auto start = std::chrono::steady_clock::now();
  if (fsync(descriptor_) != 0) return tl::unexpected(IoError("cannot flush"));
  sync_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {};
}

Status OutputFile::Commit() {
  if (auto flushed = Flush(); !flushed) return flushed;
  const unsigned flags = replace_ ? 0 : RENAME_NOREPLACE;
  if (renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, target_.c_str(), flags) != 0) {
    const bool no_flags = flags != 0 && errno == EINVAL;  // a file system without RENAME_NOREPLACE
    if (!no_flags || access(target_.c_str(), F_OK) == 0 || rename(partial_.c_str(), target_.c_str()) != 0) {
      return tl::unexpected(IoError("cannot rename to it"));
    }
  }
  close(std::exchange(descriptor_, -1));
  return SyncFolder(FolderOf(target_));
}

Status SyncFolder(const std::string& folder) {
  const std::string path = folder.empty() ? "." : folder;
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return Fail(ErrorCode::kIo, "{}: cannot open the folder: {}", path, std::strerror(errno));
  const int result = fsync(descriptor);
  const int reason = errno;
  close(descriptor);
  if (result != 0 && reason != EINVAL)
    return Fail(ErrorCode::kIo, "{}: cannot flush the folder: {}", path, std::strerror(reason));
  return {};
}

}  // namespace ingot

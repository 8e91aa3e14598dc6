#include "tools/staged_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "runtime/output_file.h"

namespace ingot {
namespace {

tl::unexpected<Error> Failure(const std::string& path, const char* what) {
  return Fail(ErrorCode::kIo, "{}: {}: {}", path, what, std::strerror(errno));
}

// Writes and flushes a new file. Messages call it `target`.
Status WriteNewFile(const std::string& path, const std::string& target, ByteSpan bytes) {
  unlink(path.c_str());  // of a run that was killed
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (descriptor < 0) return Failure(target, "cannot create");
  Status status;
  while (!bytes.empty()) {
    const ssize_t put = write(descriptor, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      status = Failure(target, "cannot write");
      break;
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  if (status && fsync(descriptor) != 0) status = Failure(target, "cannot flush");
  close(descriptor);
  return status;
}

}  // namespace

StagedFiles::~StagedFiles() {
  if (committed_) return;
  for (const File& file : files_) {
    if (!file.placed) unlink(file.temporary.c_str());
    if (file.placed && !file.replaced) unlink(file.target.c_str());
  }
  for (const std::string& folder : new_folders_) rmdir(folder.c_str());
}

Status StagedFiles::AddFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0777) == 0) {
    new_folders_.push_back(path);
    return {};
  }
  if (errno != EEXIST) return Failure(path, "cannot create the folder");
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return Fail(ErrorCode::kUsage, "{}: exists and is not a folder", path);
  }
  return {};
}

Status StagedFiles::Add(const std::string& folder, const std::string& name, ByteSpan bytes) {
  // With a colon, which no attachment may have in its name. Short, since NAME may be as long as the file system allows.
  files_.push_back({fmt::format("{}.attachment:{}.partial", folder, files_.size()), folder + name});
  if (std::find(folders_.begin(), folders_.end(), folder) == folders_.end()) folders_.push_back(folder);
  return WriteNewFile(files_.back().temporary, files_.back().target, bytes);
}

Status StagedFiles::Commit(bool replace) {
  for (File& file : files_) {
    struct stat info;
    file.replaced = lstat(file.target.c_str(), &info) == 0;
    if (!file.replaced) continue;
    if (S_ISDIR(info.st_mode)) return Fail(ErrorCode::kUsage, "{}: exists and is a folder", file.target);
    if (!replace) return Fail(ErrorCode::kUsage, "{}: exists; --force replaces it", file.target);
  }
  for (File& file : files_) {
    if (rename(file.temporary.c_str(), file.target.c_str()) != 0) return Failure(file.target, "cannot rename to it");
    file.placed = true;
  }
  committed_ = true;
  for (const std::string& folder : folders_) {
    if (auto synced = SyncFolder(folder); !synced) return synced;
  }
  return {};
}

}  // namespace ingot

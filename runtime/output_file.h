// A file that is written beside its final name and appears there whole, or not at all.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "format/bytes.h"
#include "format/status.h"

namespace ingot {

// Writes to `.NAME.partial` in the folder of the target, under an exclusive lock (flock); Commit flushes it and renames
// it. Destroyed without a commit, it removes the partial file and leaves what was at the target as it was. One left
// behind by a killed process is taken over. Movable; WriteAt and ReadAt are thread-safe for ranges that do not overlap.
class OutputFile {
 public:
  // kUsage if the target exists and `replace` is false, or is not a regular file; kIo if the folder cannot be written,
  // or another process is writing the same target.
  static Result<OutputFile> Create(const std::string& target, bool replace);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  Status WriteAt(uint64_t offset, ByteSpan bytes);
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const;
  // Cuts or extends (with zeros) the file.
  Status Truncate(uint64_t size);
  // fsync, for those who want to know that the disk takes it all before they go on to other files.
  Status Flush();
  // fsync, rename to the target, fsync of the folder. Afterwards nothing can be written.
  Status Commit();

  // Another name in the same folder, for a file that is named after its content.
  void SetTarget(std::string target) { target_ = std::move(target); }
  const std::string& target() const { return target_; }
  const std::string& partial() const { return partial_; }
  // Wall seconds that the fsync of Commit took.
  double sync_seconds() const { return sync_seconds_; }

 private:
  OutputFile() = default;
  Error IoError(const char* what) const;
  int descriptor_ = -1;
  bool replace_ = false;
  double sync_seconds_ = 0;
  std::string target_, partial_;
};

// fsync of a folder ("" is the current one), so that a rename in it lasts. kIo with the reason.
Status SyncFolder(const std::string& folder);

}  // namespace ingot

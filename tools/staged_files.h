// Small files that appear together under their names, or not at all.
#pragma once

#include <string>
#include <vector>

#include "format/bytes.h"
#include "format/status.h"

namespace ingot {

// Add writes each one under a name of its own in its folder, Commit renames them all. What was not committed is removed
// by the destructor, new folders too. The caller sees to it that only one process writes there. Not thread-safe.
class StagedFiles {
 public:
  StagedFiles() = default;
  StagedFiles(const StagedFiles&) = delete;
  StagedFiles& operator=(const StagedFiles&) = delete;
  ~StagedFiles();

  // Makes a folder unless there is one; kUsage if something else has its name, a link to a folder included.
  Status AddFolder(const std::string& path);
  // `folder` ends in a slash and exists.
  Status Add(const std::string& folder, const std::string& name, ByteSpan bytes);
  // Renames. kUsage if a target exists and `replace` is false, or is a folder: then none has been renamed.
  Status Commit(bool replace);

  size_t count() const { return files_.size(); }

 private:
  struct File {
    std::string temporary, target;
    bool placed = false;    // has its name
    bool replaced = false;  // and something else had it before
  };
  std::vector<File> files_;
  std::vector<std::string> new_folders_, folders_;
  bool committed_ = false;
};

}  // namespace ingot

// The whole check of a file: every rule of the spec that a reader can check, all violations and not only the first.
#pragma once

#include <string>
#include <vector>

#include "format/report.h"
#include "format/status.h"
#include "runtime/progress.h"

namespace ingot {

struct ValidateOptions {
  bool structure_only = false;  // header, index, regions, shards; no plane is read
  ProgressFn progress;          // in bytes of the file
};

struct Validation {
  // A violation of a shard is reported under the manifest's rule R-SHD-4 with the shard's own message.
  std::vector<Violation> violations;
  std::vector<std::string> warnings;  // "12 bytes after the end of the file are ignored"
  uint64_t bytes = 0;                 // of planes that were read and hashed, as stored
  bool complete = true;               // false: the list was cut at 1000

  bool valid() const { return violations.empty(); }
};

// Validates a file and, if it is a manifest, its shards. The result is an error only if the file cannot be opened or
// read (kIo) or the caller stopped (kInterrupted): whatever is wrong with its bytes is a violation. Planes are hashed
// on all of TBB's threads.
Result<Validation> ValidateFile(const std::string& path, const ValidateOptions& options = {});

}  // namespace ingot

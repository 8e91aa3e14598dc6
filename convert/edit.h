// `ingot edit`: changes metadata and attachments of a file in place, crash-safely (spec/FORMAT.md, section 11).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/index_builder.h"
#include "format/status.h"
#include "runtime/progress.h"

namespace ingot {

struct EditOptions {
  std::vector<std::pair<std::string, MetadataValue>> set;
  std::vector<std::string> remove;
  std::vector<std::pair<std::string, std::string>> attach;  // name, path of the file to attach
  std::vector<std::string> detach;
  bool compact = false;  // rewrite the file without dead ranges
  ProgressFn progress;   // of compacting, in bytes
};

struct EditResult {
  bool repaired = false;  // one header slot was bad
  bool changed = false;   // a new generation was written
  bool compacted = false;
  uint64_t generation = 0;
  uint64_t cut_bytes = 0;   // of an earlier edit that did not finish
  uint64_t dead_bytes = 0;  // in the file now
  uint64_t file_bytes = 0;
};

// KEY=VALUE is a string; KEY:TYPE=VALUE has one of the types bool u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 string. kUsage
// names what is wrong.
Result<std::pair<std::string, MetadataValue>> ParseMetadata(std::string_view text);

// Edits the file under an exclusive lock. At any point a crash leaves the old or the new content. kUsage: removing what
// is not there, or a key or name that the format does not allow; kIo: another process holds the lock, or writing fails;
// kBadInput: the file is not valid.
Result<EditResult> EditFile(const std::string& path, const EditOptions& options);

}  // namespace ingot

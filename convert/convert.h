// `ingot convert`: a source checkpoint becomes an .ingot file, or a manifest with shards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/selector.h"
#include "convert/source.h"
#include "format/hash.h"
#include "format/status.h"
#include "runtime/progress.h"

namespace ingot {

struct ConvertOptions {
  SelectorOptions selection;
  uint32_t split_columns = 1;  // parts along the columns of each quantized tensor
  uint64_t shard_size = 0;     // bytes of planes per shard; 0: one file
  uint32_t alignment = 256;
  bool compress = false;
  bool sha256 = false;
  bool verify = false;  // validate the written file, and compare it with the source, before it gets its name
  bool allow_nonfinite = false;
  bool force = false;   // replace an existing target
  ProgressFn progress;  // in bytes of the source
};

// What is going to happen to one tensor.
struct PlannedTensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  Method method;
  std::string reason;
  uint64_t source_bytes;
};

struct ConvertResult {
  uint64_t tensors = 0;
  uint64_t quantized = 0;  // by a method of ours
  uint64_t imported = 0;   // kept as the source has quantized them
  uint64_t verified = 0;   // compared with the source
  uint64_t source_bytes = 0;
  uint64_t file_bytes = 0;         // of all files written
  uint64_t inexact_outliers = 0;   // outliers whose source value does not come back exactly
  double seconds = 0;              // all of it, the final fsync included
  double sync_seconds = 0;         // the final fsync
  std::vector<std::string> files;  // written, the manifest last
  Hash128 content_digest;
};

// Decides for every tensor of the source, in the order of the source. Errors: those of the selector.
Result<std::vector<PlannedTensor>> PlanConversion(const Source& source, const SelectorOptions& selection);

// Converts. Streams: row blocks pass through TBB's threads in bounded memory; the bytes do not depend on their number.
// kUsage: the target exists (without force), is a source file or lies in the source's folder; kBadInput, kIo,
// kInterrupted: nothing is left behind, and what was there is as it was.
Result<ConvertResult> Convert(const Source& source, const std::string& source_path, const std::string& target,
                              const ConvertOptions& options);

// The name and version that files are marked with ("ingot 0.1.0").
std::string GeneratorName();

}  // namespace ingot

// A checkpoint of one file, or of shards named by an index, each of which says what it holds: safetensors, PyTorch.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "convert/byte_source.h"
#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// What one file holds.
struct FileContents {
  std::vector<SourceTensor> tensors;  // by offset; `file` is 0, offsets count from the start of the file; unique names
  SourceMetadata metadata;
};

// A format of such files. `read` checks all that a file says about its tensors; messages call it `what`. Errors:
// kBadInput, and what the ByteSource returns.
struct FileFormat {
  std::string_view kind;  // Source::kind
  Result<FileContents> (*read)(const ByteSource& source, const std::string& what);
};

// Opens one file, and the shards of an index, which must agree with it about every tensor. `format` must outlive the
// source. Where files disagree about a key of the metadata, the index and then the first one counts. Errors: kIo,
// kBadInput. Functions are thread-safe; the sources that they return follow convert/source.h.
Result<std::unique_ptr<Source>> OpenFileSource(const FileFormat& format, const std::string& path,
                                               std::vector<SourceAttachment> attachments);
Result<std::unique_ptr<Source>> OpenShardedSource(const FileFormat& format, const std::string& index_path,
                                                  std::vector<SourceAttachment> attachments);

}  // namespace ingot

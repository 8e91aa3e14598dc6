// What kind of file some bytes are, by their first bytes, never by the name of the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "convert/byte_source.h"
#include "format/status.h"

namespace ingot {

enum class FileKind : uint8_t {
  kUnknown,
  kEmpty,
  kSafetensors,
  kGguf,
  kIngot,
  kZip,            // what torch.save writes
  kPickle,         // what torch.save wrote before
  kTar,            // what torch.save wrote long ago
  kJson,           // an index, a config: belongs to a checkpoint but is none
  kGitLfsPointer,  // stands for a file that was not downloaded
};

// "GGUF file": how messages call it.
std::string_view NameOf(FileKind kind);
// Whether a file of this kind holds tensors.
bool IsCheckpoint(FileKind kind);

// Looks at the first bytes. Errors: what `source` returns. Thread-safe.
Result<FileKind> DetectKind(const ByteSource& source);

}  // namespace ingot

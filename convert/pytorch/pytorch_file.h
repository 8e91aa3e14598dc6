// What torch.save writes: a zip archive of a pickle and one member for each storage, or, before torch 1.6, pickles
// followed by the storages. Read without running anything; all is checked before a tensor is handed out. Thread-safe.
#pragma once

#include <string>

#include "convert/byte_source.h"
#include "convert/file_source.h"
#include "format/status.h"

namespace ingot {

// Reads either form, told apart by the first bytes. Names and metadata are those of convert/pytorch/flatten.h. Errors:
// kBadInput naming `what` and what is wrong; what `source` returns.
Result<FileContents> ReadPyTorchFile(const ByteSource& source, const std::string& what);

}  // namespace ingot

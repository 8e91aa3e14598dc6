// .ingot files as sources: one file, or a manifest with its shards. Thread-safe; the source follows convert/source.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// Tensors, attachments and metadata are those of the file; what lies beside it (`attachments`) is not looked at.
// Errors: kIo, kBadInput: what opening gives, and a file of a newer minor version, of which something would be lost.
Result<std::unique_ptr<Source>> OpenIngotFile(const std::string& path, std::vector<SourceAttachment> attachments);

}  // namespace ingot

// GGUF files as a source: one, or all splits of a set.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// Opens a GGUF file. If its metadata says that it is the first split of several (NAME-00001-of-00003.gguf), the others
// are opened too. Errors: kIo, kBadInput; each names the file, the tensor and the values.
Result<std::unique_ptr<Source>> OpenGgufFile(const std::string& path, std::vector<SourceAttachment> attachments);

}  // namespace ingot

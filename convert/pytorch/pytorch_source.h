// PyTorch checkpoints as sources: one file (.bin, .pt, .pth), or the shards of pytorch_model.bin.index.json.
// Functions are thread-safe; the sources that they return follow convert/source.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// Errors: kIo, kBadInput.
Result<std::unique_ptr<Source>> OpenPyTorchFile(const std::string& path, std::vector<SourceAttachment> attachments);
Result<std::unique_ptr<Source>> OpenPyTorchIndex(const std::string& path, std::vector<SourceAttachment> attachments);

}  // namespace ingot

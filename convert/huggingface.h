// Checkpoints in the Hugging Face layout: one safetensors file, or shards named by an index, and the files beside them.
// Functions are thread-safe; the sources that they return follow convert/source.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// The file of a directory to start from.
struct CheckpointPath {
  enum class Layout { kSafetensorsIndex, kPyTorchIndex, kFile };
  Layout layout;
  std::string path;
};

// Finds the checkpoint of a directory: model.safetensors.index.json, else model.safetensors, else
// pytorch_model.bin.index.json, else pytorch_model.bin, else the only checkpoint file in it. Errors: kBadInput that
// lists what was found where it is not exactly one; kIo.
Result<CheckpointPath> FindCheckpoint(const std::string& directory);

// The files of a directory that are carried along with its checkpoint (configuration, tokenizer), sorted by name.
// Errors: kIo, also for a dangling link under one of the names.
Result<std::vector<SourceAttachment>> FindAttachments(const std::string& directory);

// Opens one safetensors file, and the shards of an index. Errors: kIo, kBadInput.
Result<std::unique_ptr<Source>> OpenSafetensorsFile(const std::string& path, std::vector<SourceAttachment> attachments);
Result<std::unique_ptr<Source>> OpenSafetensorsIndex(const std::string& path,
                                                     std::vector<SourceAttachment> attachments);

}  // namespace ingot

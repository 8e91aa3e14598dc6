// Quantized checkpoints as sources: what a system stored in several tensors becomes one quantized tensor.
#pragma once

#include <memory>

#include "convert/import/checkpoint.h"
#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// `base` itself if nothing in it is quantized by a system that is known; else a source that has the quantized tensors
// in the places of those that they stand for, all others as they are. Errors: kBadInput naming file, tensor or key and
// values where the configuration names an unknown system, or where tensors are missing or contradict it; kIo.
Result<std::unique_ptr<Source>> ImportQuantized(std::unique_ptr<Source> base);
// The same with the files that describe it given.
Result<std::unique_ptr<Source>> ImportQuantized(std::unique_ptr<Source> base, CheckpointConfigs configs);

}  // namespace ingot

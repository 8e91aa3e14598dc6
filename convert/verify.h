// `convert --verify`: what was written decodes to the values of the source.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/pipeline.h"
#include "convert/source.h"
#include "format/status.h"
#include "runtime/progress.h"

namespace ingot {

// Decodes the tensors of `jobs` that are kept as their source has them, from the file at `path`, which messages call
// `name`, and from the source by its own system's formula, and compares them bit for bit (two NaN count as equal);
// what was written as it was and what has no values in f32 byte for byte. Returns how many tensors were compared.
// Errors: kIo naming tensor, element and both values for a difference; those of reading either side; kInterrupted.
Result<uint64_t> VerifyTensors(const std::string& path, const std::string& name, const Source& source,
                               const std::vector<Job>& jobs, const ProgressFn& progress);

}  // namespace ingot

// The engine that the command line asks for.
#pragma once

#include <memory>

#include "tools/llama/engine.h"
#include "tools/llama/ingot_file.h"
#include "tools/llama/options.h"
#include "tools/llama/weights.h"

namespace llama {

// For sequences of up to `capacity` positions, `batch` tokens at a time. Keeps references to `config` and `weights`.
// Shows the progress of an upload. Throws Failure: no such GPU, too little memory, interrupted.
std::unique_ptr<Engine> MakeEngine(const Options& options, const IngotFile& file, const Config& config,
                                   const Weights& weights, uint64_t capacity, uint64_t batch);

}  // namespace llama

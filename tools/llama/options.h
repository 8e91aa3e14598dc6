// The command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/ingot.h"

namespace llama {

struct Options {
  std::string file, tokens, logits;
  uint64_t context = 0, stride = 0, limit = 0, generate = 0;  // 0: not given
  uint64_t batch = 128;
  uint32_t threads = 0;  // 0: the library's default
  ingot_precision precision = INGOT_PRECISION_F32;
  ingot_verify verify = INGOT_VERIFY_LAZY;
  std::string precision_name = "f32";
  std::optional<uint32_t> gpu;      // the number of a GPU to run on; else the CPU
  std::string activations = "f16";  // on a GPU: f16 or bf16
  bool tail = false, json = false, quiet = false;
};

// Nothing: the help or the version was asked for, and printed. Throws Failure.
std::optional<Options> ParseOptions(int argc, char** argv);

}  // namespace llama

// The systems whose checkpoints are imported without requantizing: one function each, in a file of its name. They look
// for the modules that they know, check their tensors against each other and the configuration, and add what these
// stand for. Sources: the packages named at the head of each file. Thread-safe.
#pragma once

#include <string_view>

#include "convert/import/checkpoint.h"
#include "format/status.h"

namespace ingot {

struct Importer {
  std::string_view name;           // "GPTQ", as messages name it
  std::string_view quant_methods;  // of config.json, separated by spaces
  // Ends of names that tensors of this system have, for checkpoints whose configuration does not say; likewise.
  std::string_view marks;
  // Adds all modules. Errors: kBadInput naming file, tensor or key, what was expected and what was found; kIo.
  Status (*import)(const Checkpoint& checkpoint, Imports& imports);
};

Status ImportGptq(const Checkpoint& checkpoint, Imports& imports);
Status ImportAwq(const Checkpoint& checkpoint, Imports& imports);
Status ImportBitsAndBytes(const Checkpoint& checkpoint, Imports& imports);
Status ImportQuanto(const Checkpoint& checkpoint, Imports& imports);
Status ImportHqq(const Checkpoint& checkpoint, Imports& imports);
Status ImportCompressedTensors(const Checkpoint& checkpoint, Imports& imports);
Status ImportFp8(const Checkpoint& checkpoint, Imports& imports);
Status ImportMxfp4(const Checkpoint& checkpoint, Imports& imports);
Status ImportModelOpt(const Checkpoint& checkpoint, Imports& imports);
Status ImportMlx(const Checkpoint& checkpoint, Imports& imports);

}  // namespace ingot

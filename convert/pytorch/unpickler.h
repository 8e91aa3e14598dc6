// A restricted unpickler: the instructions that torch.save writes, and no other. The language can call any function of
// any module; here a call is one of the table of pickle_globals.h, which makes a plain value, and all else is refused
// by name. No code runs. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "convert/byte_source.h"
#include "convert/pytorch/pickle.h"
#include "convert/pytorch/pickle_machine.h"
#include "format/status.h"

namespace ingot {

// Reads the pickle in bytes [begin, end) of `source`, which may end before that. Keys of dicts are texts or whole
// numbers, each once; there are no cycles. Errors: kBadInput naming `what`, the byte of the file and what stands there;
// what `source` returns.
Result<Pickle> ReadPickle(const ByteSource& source, uint64_t begin, uint64_t end, StorageWords words,
                          const std::string& what);

}  // namespace ingot

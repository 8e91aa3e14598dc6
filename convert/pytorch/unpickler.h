// A restricted unpickler: the instructions that torch.save writes, and no other. The language can call any function of
// any module; here a call is one of the table of pickle_globals.h, which makes a plain value, and all else is refused
// by name. No code runs. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "convert/byte_source.h"
#include "convert/pytorch/pickle.h"
#include "format/status.h"

namespace ingot {

inline constexpr uint64_t kMaxPickleSize = uint64_t{256} << 20;
inline constexpr size_t kMaxPickleValues = size_t{1} << 23;
inline constexpr size_t kMaxPickleStack = size_t{1} << 20;
inline constexpr size_t kMaxPickleMarks = 256;
inline constexpr uint8_t kMaxPickleDepth = 64;         // of values in values
inline constexpr uint32_t kMaxPickleText = 16u << 20;  // bytes
inline constexpr size_t kMaxPickleGlobalName = 256;    // bytes of a module, or of a name in it
inline constexpr uint32_t kMaxPickleMemo = 1u << 23;   // numbers of remembered values are below

// How a pickle names its storages: by five words in a zip archive, by six in a file of the older format.
enum class StorageWords : uint8_t { kZip = 5, kLegacy = 6 };

// Reads the pickle in bytes [begin, end) of `source`, which may end before that. Keys of dicts are texts or whole
// numbers, each once; there are no cycles. Errors: kBadInput naming `what`, the byte of the file and what stands there;
// what `source` returns.
Result<Pickle> ReadPickle(const ByteSource& source, uint64_t begin, uint64_t end, StorageWords words,
                          const std::string& what);

}  // namespace ingot

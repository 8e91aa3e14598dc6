// The names that a PyTorch checkpoint's pickle may use. Each is a row of a table that says what to make of it; nothing
// is imported, looked up or called. Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "format/dtype.h"

namespace ingot {

enum class GlobalKind : uint8_t {
  kOrderedDict,
  kSize,      // torch.Size: a tuple
  kTensorV2,  // functions that make a tensor of a storage
  kTensorV3,
  kParameter,  // functions that wrap a tensor
  kParameterWithState,
  kTypedStorage,    // of elements of `dtype`
  kUntypedStorage,  // of bytes
  kDType,
  kUnsupported,  // known, but not read
};

struct PickleGlobal {
  std::string_view module;
  std::string_view name;
  GlobalKind kind;
  DType dtype = DType::kU8;      // of kTypedStorage and kDType
  std::string_view reason = {};  // of kUnsupported
};

// Nothing if the name is not one of them.
const PickleGlobal* FindPickleGlobal(std::string_view module, std::string_view name);

}  // namespace ingot

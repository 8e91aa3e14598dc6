// What the pickle of a PyTorch checkpoint says, as plain values. A value that no object belongs to has no owner here:
// all lie in the tables of one Pickle and name each other by number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/pytorch/pickle_globals.h"
#include "format/dtype.h"

namespace ingot {

// What one pickle may hold.
inline constexpr uint64_t kMaxPickleSize = uint64_t{256} << 20;
inline constexpr size_t kMaxPickleValues = size_t{1} << 23;
inline constexpr size_t kMaxPickleStack = size_t{1} << 20;
inline constexpr size_t kMaxPickleMarks = 256;
inline constexpr uint8_t kMaxPickleDepth = 64;         // of values in values
inline constexpr uint32_t kMaxPickleText = 16u << 20;  // bytes
inline constexpr size_t kMaxPickleGlobalName = 256;    // bytes of a module, or of a name in it
inline constexpr uint32_t kMaxPickleMemo = 1u << 23;   // numbers of remembered values are below

enum class PickleKind : uint8_t { kNone, kBool, kInt, kFloat, kText, kTuple, kList, kDict, kGlobal, kStorage, kTensor };

// 24 bytes: there is one for each number of each shape, and an attacker's file has one per byte.
struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  bool special = false;    // a dict: an OrderedDict; a tensor: a Parameter
  bool contained = false;  // has a place in a container: it grows no more, so that there are no cycles
  uint8_t depth = 0;       // of the values in it
  uint32_t index = 0;      // of `texts`, `items`, `globals`, `storages` or `tensors`
  int64_t integer = 0;     // kInt; kBool: 0 or 1
  double real = 0;
};

// Bytes that are kept beside the pickle, under a name.
struct PickleStorage {
  std::string key;
  const PickleGlobal* type;  // kTypedStorage or kUntypedStorage
  uint64_t count;            // of elements; of bytes if untyped
};

// Not checked against its storage yet.
struct PickleTensor {
  uint32_t storage;
  DType dtype;
  uint64_t offset;  // in elements, as the strides are
  std::vector<uint64_t> shape, strides;
};

struct Pickle {
  std::vector<PickleValue> values;
  std::vector<std::string> texts;            // UTF-8
  std::vector<std::vector<uint32_t>> items;  // of a tuple or list: values; of a dict: keys and values in turn
  std::vector<const PickleGlobal*> globals;
  std::vector<PickleStorage> storages;  // each key once
  std::vector<PickleTensor> tensors;
  uint32_t root = 0;
  uint64_t end = 0;  // behind its last byte

  const std::string& text(const PickleValue& value) const { return texts[value.index]; }
  const std::vector<uint32_t>& items_of(const PickleValue& value) const { return items[value.index]; }
};

}  // namespace ingot

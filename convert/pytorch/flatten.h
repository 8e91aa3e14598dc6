// From the nested values of a pickle to a flat list of tensors, under dotted names, and metadata. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/file_source.h"
#include "convert/pytorch/pickle.h"
#include "format/status.h"

namespace ingot {

// Where the bytes of a storage are in the file.
struct StorageRange {
  uint64_t offset;
  uint64_t size;
};

// Keys of dicts and numbers of lists, joined by dots, become names: {'model': {'w': T}, 'step': 3} gives the tensor
// model.w and the metadata step = 3. A tensor that is the whole checkpoint is called "tensor". Kept as metadata are
// texts, numbers, bools, dtypes ("torch.float16") and lists of whole numbers; None is skipped.
//
// `ranges` has one for each of pickle.storages. Every tensor is checked against its own: all elements that its shape,
// offset and strides reach lie within. Errors: kBadInput naming `what`, tensor and values.
Result<FileContents> FlattenPickle(const Pickle& pickle, const std::vector<StorageRange>& ranges,
                                   const std::string& what);

// The bytes of one element of a storage.
inline uint64_t ElementSize(const PickleStorage& storage) {
  return storage.type->kind == GlobalKind::kUntypedStorage ? 1 : InfoOf(storage.type->dtype).size;
}

}  // namespace ingot

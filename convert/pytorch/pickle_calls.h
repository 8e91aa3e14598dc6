// What the calls in a pickle make: a tensor out of a storage, a Parameter out of a tensor, an OrderedDict. Messages
// name what is wrong; where it stands is added by the caller. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/pytorch/pickle.h"
#include "format/status.h"

namespace ingot {

// "the text 'x'", "a tuple of 2", "torch.float16": a value as messages show it.
std::string Describe(const Pickle& pickle, const PickleValue& value);

// The value of `function(arguments...)`; what it consists of goes into the tables of `pickle`. Errors: kBadInput.
Result<PickleValue> CallPickleGlobal(Pickle& pickle, const PickleGlobal& function,
                                     const std::vector<uint32_t>& arguments);

// The storage that a persistent id stands for: ('storage', type, key, location, count), and None in the older format,
// which has `words` = 6. Errors: kBadInput.
Result<PickleStorage> StorageOfId(const Pickle& pickle, const PickleValue& id, size_t words);

}  // namespace ingot

// Groups of columns that are not in order (GPTQ's act-order).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/import/checkpoint.h"

namespace ingot {

struct ActOrder {
  // Both empty if the groups are in order.
  std::vector<uint32_t> group_of_column;
  std::vector<uint32_t> permutation;  // the columns in the stable order of their groups
  // As EncodedTensor's: groups of unequal size have no permutation.
  std::string obstacle;
};

// Reads g_idx, I32 of one dimension, of groups that should have `group` columns but for the last one. Errors: kBadInput
// naming the tensor, the column and the group.
Result<ActOrder> ReadActOrder(const Checkpoint& checkpoint, const SourceTensor& g_idx, uint64_t group);

}  // namespace ingot

// Codes packed across rows, as optimum-quanto and HQQ do: a matrix is cut into equal blocks of rows, and a packed
// element holds one code of each block.
#pragma once

#include <cstdint>
#include <vector>

#include "convert/import/checkpoint.h"

namespace ingot {

// The codes of a GroupedLayout, flat in the order of the matrix. A view; what it points at must outlive it.
struct BlockCodes {
  const Source* source;
  const SourceTensor* packed;
  uint64_t element_size;    // bytes of a packed element, 1 or 4, whatever the tensor's dtype
  uint64_t block;           // packed elements: codes of one block
  std::vector<int> shifts;  // of the codes of each block
  uint32_t mask;

  Status operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const;
};

}  // namespace ingot

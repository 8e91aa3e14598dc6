// Codes that a system stores input column first, as GPTQ and AWQ do: read for a range of rows of the weight, turned.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "convert/import/checkpoint.h"
#include "convert/import/unpack.h"

namespace ingot {

class WordCache;

// A matrix of codes of `rows` by `cols` (outputs by inputs), stored turned: lines of codes lie in a tensor of 32-bit
// words along its first dimension (GPTQ: a line is a row of the weight) or along its second one (AWQ: a line is a
// column). The codes of a GroupedLayout. A view; what it points at must outlive it.
struct TransposedCodes {
  const Source* source;
  const SourceTensor* words;
  CodeOrder order;
  int bits;
  uint64_t rows, cols;
  bool lines_down;                    // along the first dimension
  std::vector<uint32_t> permutation;  // place j gets column permutation[j]; empty: none
  std::shared_ptr<WordCache> cache = MakeCache();

  // Rows whose codes share words: ranges begin at multiples of it.
  uint64_t row_step() const;
  Status operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const;

 private:
  static std::shared_ptr<WordCache> MakeCache();
  // `read`: the words of the range, in rows `stride` words apart.
  void FromLinesDown(const std::byte* read, uint64_t stride, uint64_t count, bool plain, uint8_t* codes) const;
  void FromLinesAcross(const std::byte* read, uint64_t stride, uint64_t count, bool plain, uint8_t* codes) const;
};

}  // namespace ingot

// Codes that a system stores input column first, as GPTQ and AWQ do: read for a range of rows of the weight, turned.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "convert/encoded_tensor.h"
#include "convert/import/checkpoint.h"
#include "convert/import/grouped_import.h"
#include "convert/import/unpack.h"

namespace ingot {

class WordBands;

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
  std::vector<uint32_t> permutation;  // of lines down: place j gets column permutation[j]; empty: none
  std::shared_ptr<WordBands> bands = MakeBands();

  // Rows whose codes share words: ranges begin at multiples of it.
  uint64_t row_step() const;
  // Reads ahead for ranges that are asked for one after the other. What was read of a range is given up once its codes
  // have been taken.
  Status Prepare(uint64_t first, uint64_t count, ReadAhead& ahead) const;
  // Ranges that nothing was prepared for are read by themselves.
  Status operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const;

 private:
  // Words along the second dimension.
  struct Span {
    uint64_t begin, width;
  };
  static std::shared_ptr<WordBands> MakeBands();
  Span WordsOf(uint64_t first, uint64_t count) const;
  // `read`: the words of the range, in rows `stride` words apart.
  void FromLinesDown(const std::byte* read, uint64_t stride, uint64_t count, bool plain, uint8_t* codes) const;
  void FromLinesAcross(const std::byte* read, uint64_t stride, uint64_t count, bool plain, uint8_t* codes) const;
};

// They become the codes of a layout.
void SetCodes(GroupedLayout& layout, TransposedCodes codes);

}  // namespace ingot

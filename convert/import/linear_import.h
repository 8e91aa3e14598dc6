// What the importers of linear encodings share: a view of rows and columns that is cut into blocks, codes one byte
// each that are packed, operands that come whole with the first block.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/encoded_tensor.h"

namespace ingot {

// A class per layout derives from it and reads the words. Immutable once made.
class LinearImport : public EncodedTensor {
 public:
  std::string description() const override { return description_; }
  const TensorPlan& plan() const override { return plan_; }
  uint64_t block_count() const override;
  Status Prepare(uint64_t block, ReadAhead& ahead) const override;
  Status Encode(uint64_t block, std::span<EncodedPart> parts) const override;
  Status Decode(uint64_t first, uint64_t count, float* out) const override;

 protected:
  // `plan`: one part. Rows are cut at multiples of `row_step`; a view of one row at multiples of `row_step` columns.
  LinearImport(std::string description, PartPlan plan, uint64_t row_step);

  const Linear& linear() const { return plan_.parts.front().linear; }
  const PartPlan& part_plan() const { return plan_.parts.front(); }

  // Reads ahead for ReadCodes of the same range.
  virtual Status PrepareCodes(uint64_t first, uint64_t count, ReadAhead& ahead) const = 0;
  // The codes of elements [first, first + count) of the view, in row-major order of the stored columns. The range is
  // one of whole rows, or lies in the only row.
  virtual Status ReadCodes(uint64_t first, uint64_t count, uint8_t* codes) const = 0;
  // Fills part.operands with all elements of all operands.
  virtual Status ReadOperands(EncodedPart& part) const = 0;
  // The values of such a range, by the definition of the source's system.
  virtual Status DecodeRange(uint64_t first, uint64_t count, float* out) const = 0;

 private:
  struct Range {
    uint64_t first, count;  // elements
  };
  Range RangeOf(uint64_t block) const;

  std::string description_;
  TensorPlan plan_;
  uint64_t unit_;         // elements: blocks begin at its multiples
  uint64_t block_units_;  // of a block
};

// A plan of `rows` by `cols` codes in groups of `group_cols` columns of one row, absent operands, results of type
// `result`.
PartPlan PlanRows(int bits, uint64_t rows, uint64_t cols, uint64_t group_cols, DType result);
// Operand number `i` (of s, z, o) of a plan becomes a nested encoding of integer codes: value = code + plus.
void NestCodes(PartPlan& plan, size_t i, int bits, float plus = 0.0f);

}  // namespace ingot

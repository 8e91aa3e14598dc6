// A quantized tensor of most systems: codes in some order of words, scales and zero-points over groups, one formula.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "convert/import/checkpoint.h"
#include "convert/import/linear_import.h"
#include "convert/import/unpack.h"

namespace ingot {

// How an operand over the groups is read. Both functions are thread-safe.
struct OperandSource {
  // All of its elements, as the plan stores them.
  std::function<Status(OperandBlock& block)> fill;
  // Their values, by the definition of the source's system; one value stands for all groups.
  std::function<Result<std::vector<float>>()> values;
};

struct GroupedLayout {
  // Codes of elements [first, first + count) of the view, as LinearImport wants them. `plain`: in the order of the
  // logical columns, by the definition of their layout.
  std::function<Status(uint64_t first, uint64_t count, bool plain, uint8_t* codes)> codes;
  // Reads ahead for them; may be empty.
  std::function<Status(uint64_t first, uint64_t count, ReadAhead& ahead)> prepare;
  OperandSource s, z, o;                  // those that the plan has as arrays or nested
  std::vector<uint32_t> group_of_column;  // g_idx; empty: groups of plan.linear.group_cols columns
  std::string obstacle;                   // as EncodedTensor's
  // The value of a code in a group, by the definition of the source's system.
  std::function<float(uint8_t q, float s, float z, float o)> value;
};

class GroupedImport final : public LinearImport {
 public:
  // `plan` and `row_step` as for LinearImport; of a layout with an obstacle, the plan's view and group sizes count.
  GroupedImport(std::string description, PartPlan plan, GroupedLayout layout, uint64_t row_step = 1)
      : LinearImport(std::move(description), std::move(plan), row_step), layout_(std::move(layout)) {}
  std::string obstacle() const override { return layout_.obstacle; }

 protected:
  Status PrepareCodes(uint64_t first, uint64_t count, ReadAhead& ahead) const override {
    return layout_.prepare ? layout_.prepare(first, count, ahead) : Status{};
  }
  Status ReadCodes(uint64_t first, uint64_t count, uint8_t* codes) const override {
    return layout_.codes(first, count, false, codes);
  }
  Status ReadOperands(EncodedPart& part) const override;
  Status DecodeRange(uint64_t first, uint64_t count, float* out) const override;

 private:
  GroupedLayout layout_;
};

// An array of `type`, of which `read` gives all elements row-major over the groups. `negated`: the plan subtracts what
// the source adds, so the plan's elements have the other sign.
OperandSource ArrayOperand(DType type, std::function<Result<std::vector<std::byte>>()> read, bool negated = false);
// The same of a tensor that is stored so.
OperandSource ArrayOperand(const Source& source, const SourceTensor& tensor, bool negated = false);
// The same of a tensor that is stored group first: the first `groups` rows of [groups or more, rows].
OperandSource TransposedOperand(const Source& source, const SourceTensor& tensor, uint64_t groups,
                                bool negated = false);
// Codes of a nested encoding, a byte each, row-major over the groups, and the values that they stand for: code + plus.
OperandSource CodesOperand(std::function<Result<std::vector<uint8_t>>()> codes, float plus);

// Rows of codes one after the other: line r is row r of the view, `stride` bytes after the one before.
struct RowCodes {
  const Source* source;
  const SourceTensor* words;
  CodeOrder order;
  int bits;
  uint64_t cols;
  uint64_t stride;
  uint8_t flip = 0;  // bits of each code that are turned: 0x80 makes signed bytes unsigned

  Status operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const;
};

}  // namespace ingot

// A quantized tensor cut into parts along its columns, with the codes and groups that it has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "convert/encoded_tensor.h"
#include "runtime/tensor_reader.h"

namespace ingot {

// Columns at which an encoding of a tensor with rows of `columns` elements can be cut into up to `count` parts so that
// every group stays whole, or has one scale in both parts: starts with 0, ends with the last. Only these two where a
// permutation, groups of nested scales or the view are in the way.
std::vector<uint64_t> ExactCuts(const Linear& linear, const std::vector<Linear>& children, uint64_t columns,
                                uint32_t count);

// Follows convert/encoded_tensor.h.
class SplitTensor final : public EncodedTensor {
 public:
  // `reader`: of a tensor of one linear encoding; `cuts`: as ExactCuts gives them.
  SplitTensor(std::string description, std::shared_ptr<const TensorReader> reader, const std::vector<uint64_t>& cuts);

  std::string description() const override { return description_; }
  const TensorPlan& plan() const override { return plan_; }
  uint64_t block_count() const override;
  Status Encode(uint64_t block, std::span<EncodedPart> parts) const override;
  Status Decode(uint64_t first, uint64_t count, float* out) const override {
    return reader_->Decode(first, count, out);
  }

 private:
  // Columns and groups of a part; the ends are exclusive.
  struct Range {
    uint64_t first_col, last_col;
    uint64_t first_group, last_group;
  };
  const EncodedMatrix& matrix() const { return reader_->parts().front().matrix; }
  PartPlan PlanPart(const Range& range) const;
  void PlanNested(const Range& range, PartPlan& plan) const;
  void CountOutliers();
  void EncodeOperands(const Range& range, EncodedPart& out) const;
  void EncodeRow(const Range& range, const Linear& part, uint64_t row, EncodedPart& out) const;

  std::string description_;
  std::shared_ptr<const TensorReader> reader_;
  std::vector<Range> ranges_;
  TensorPlan plan_;
  uint64_t block_rows_;
};

}  // namespace ingot

// From rows of a source tensor to the bytes of its planes: the parallel half of the conversion of one tensor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/part_plan.h"
#include "convert/quantize/group_quantizer.h"
#include "convert/source.h"

namespace ingot {

struct EncodedBlock {
  std::vector<EncodedPart> parts;
  uint64_t inexact_outliers = 0;
};

// Columns at which a matrix is cut into `parts` parts: multiples of lcm(64, group_cols), as even as possible. Fewer
// parts if it has fewer such pieces. Starts with 0, ends with cols.
std::vector<uint64_t> SplitColumns(uint64_t cols, uint64_t group_cols, uint32_t parts);

// The plan of one quantized tensor. Immutable; Encode may be called by many threads.
class TensorEncoder {
 public:
  // `outliers_per_part`: the number of unstructured outliers of each part, in order (one number for a single part).
  TensorEncoder(const SourceTensor& tensor, GroupQuantizer quantizer, const std::vector<uint64_t>& cuts,
                const std::vector<uint64_t>& outliers_per_part);

  // Encodes rows [first_row, first_row + rows) from their stored bytes. kBadInput names tensor, row and value (the file
  // is named by the caller).
  Status Encode(const std::byte* source, uint64_t first_row, uint64_t rows, EncodedBlock& out) const;

  const TensorPlan& plan() const { return plan_; }

 private:
  // The columns of a part, and their groups; the ends are exclusive.
  struct Range {
    uint64_t first_col, last_col;
    uint64_t first_group, last_group;
  };

  PartPlan PlanPart(const Range& range, uint64_t outliers) const;
  void EncodePart(const PartPlan& plan, const Range& range, const QuantizedRows& rows, uint64_t count,
                  EncodedPart& out) const;
  void EncodeOutliers(const PartPlan& plan, const Range& range, const QuantizedRows& rows, uint64_t count,
                      EncodedPart& out) const;
  Error Explain(const QuantizeError& error) const;

  std::string name_;
  DType dtype_;
  uint64_t rows_, cols_;
  GroupQuantizer quantizer_;
  std::vector<Range> ranges_;  // as plan_.parts
  TensorPlan plan_;
};

}  // namespace ingot

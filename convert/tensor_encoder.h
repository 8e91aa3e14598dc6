// From rows of a source tensor to the bytes of its planes: the parallel half of the conversion of one tensor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "convert/quantize/group_quantizer.h"
#include "convert/source.h"
#include "format/encoding.h"
#include "format/packing.h"

namespace ingot {

// A range of columns that becomes one part of the tensor, with its encoding as planned: operands that turn out to be
// the same everywhere become constants when the tensor is finished.
struct PartPlan {
  uint64_t first_col = 0;
  uint64_t last_col = 0;  // exclusive
  uint64_t first_group = 0;
  uint64_t last_group = 0;                // exclusive
  std::vector<uint32_t> outlier_columns;  // whole columns, counted from first_col
  Linear linear;
  std::optional<Linear> zero_points;  // the nested encoding of integer zero-points
};

// What a block of rows adds to the planes of one part.
struct EncodedPart {
  std::array<std::vector<std::byte>, kMaxFields> codes;
  std::vector<std::byte> scales;
  std::vector<std::byte> zeros;            // float zero-points
  std::vector<uint8_t> zero_codes;         // integer ones
  std::vector<uint64_t> outliers_per_row;  // unstructured
  std::vector<std::byte> outlier_columns;
  std::vector<std::byte> outlier_values;
};

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

  const std::vector<PartPlan>& parts() const { return parts_; }
  const GroupQuantizer& quantizer() const { return quantizer_; }
  uint64_t rows() const { return rows_; }

 private:
  void EncodePart(const PartPlan& plan, const QuantizedRows& rows, uint64_t count, EncodedPart& out) const;
  void EncodeOutliers(const PartPlan& plan, const QuantizedRows& rows, uint64_t count, EncodedPart& out) const;
  Error Explain(const QuantizeError& error) const;

  std::string name_;
  DType dtype_;
  uint64_t rows_, cols_;
  GroupQuantizer quantizer_;
  std::vector<PartPlan> parts_;
};

// Rows and columns of the matrix that a tensor is quantized as: the last dimension, and the product of the others.
uint64_t MatrixRows(const SourceTensor& tensor);
uint64_t MatrixCols(const SourceTensor& tensor);

}  // namespace ingot

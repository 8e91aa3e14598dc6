#include "convert/part_plan.h"

namespace ingot {

void OperandBlock::Clear() {
  array.clear();
  codes.clear();
  for (auto& bytes : arrays) bytes.clear();
}

void EncodedPart::Clear() {
  for (auto& field : codes) field.clear();
  for (OperandBlock& operand : operands) operand.Clear();
  outliers_per_row.clear();
  outlier_columns.clear();
  outlier_values.clear();
  bytes.clear();
}

}  // namespace ingot

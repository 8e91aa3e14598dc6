#include "convert/part_plan.h"

#include <bit>

namespace ingot {

Operand ConstantOperand(float value, float neutral) {
  return std::bit_cast<uint32_t>(value) == std::bit_cast<uint32_t>(neutral) ? Operand{} : Operand::Constant(value);
}

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

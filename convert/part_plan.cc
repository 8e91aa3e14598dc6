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

VerbatimPlan VerbatimPlan::Plain(EncodingKind kind, std::vector<std::byte> payload, VerbatimEncoding::Plane plane,
                                 const std::vector<uint64_t>& shape) {
  VerbatimPlan plan;
  plan.encodings.push_back({static_cast<uint16_t>(kind), kFlagRequired, std::move(payload), {}});
  if (plane.size != 0) plan.encodings.front().planes.push_back(plane);
  plan.parts.push_back({shape.empty() ? 1 : shape.front(), 0});
  return plan;
}

}  // namespace ingot

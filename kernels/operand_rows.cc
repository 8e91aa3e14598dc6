#include "kernels/operand_rows.h"

#include <algorithm>

#include "kernels/decode.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

constexpr uint64_t kElementsAtOnce = 2048;

}  // namespace

OperandRows::OperandRows(const EncodedMatrix& matrix, Which which, uint64_t row_end)
    : matrix_(&matrix), which_(which), group_rows_end_((row_end - 1) / matrix.linear.group_rows + 1) {
  const Linear& l = matrix.linear;
  const Operand& o = matrix.operand(which);
  const uint64_t across = l.groups_across();
  if (o.form == OperandForm::kAbsent || o.form == OperandForm::kConstant) {
    const float neutral = which == kScale ? 1.0f : 0.0f;
    values_.assign(across + kSlack, o.form == OperandForm::kConstant ? o.constant : neutral);
  } else {
    values_.resize(std::max(across, kElementsAtOnce / across * across) + kSlack);
  }
}

const float* OperandRows::Row(uint64_t row) {
  const Linear& l = matrix_->linear;
  const Operand& o = matrix_->operand(which_);
  if (o.form == OperandForm::kAbsent || o.form == OperandForm::kConstant) return values_.data();
  const uint64_t across = l.groups_across(), group_row = row / l.group_rows;
  if (group_row < first_ || group_row >= end_) {
    first_ = group_row;
    end_ = std::min(group_rows_end_, group_row + std::max<uint64_t>(1, kElementsAtOnce / across));
    const uint64_t at = first_ * across, count = (end_ - first_) * across;
    if (o.form == OperandForm::kArray) {
      WidenToF32(o.type, matrix_->operand_array(which_).data() + at * InfoOf(o.type).size, count, values_.data());
    } else {
      DecodeElements(matrix_->nested_operand(which_), at, count, values_.data());
    }
  }
  return values_.data() + (group_row - first_) * across;
}

}  // namespace ingot

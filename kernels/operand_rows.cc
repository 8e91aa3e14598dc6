#include "kernels/operand_rows.h"

#include <algorithm>

#include "kernels/decode.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

constexpr uint64_t kElementsAtOnce = 2048;

}  // namespace

OperandRows::OperandRows(const EncodedMatrix& matrix, Which which, uint64_t row_end)
    : matrix_(&matrix),
      which_(which),
      group_rows_(matrix.linear.group_rows),
      across_(matrix.linear.groups_across()),
      group_rows_end_((row_end - 1) / group_rows_ + 1) {
  const Operand& o = matrix.operand(which);
  same_ = o.form == OperandForm::kAbsent || o.form == OperandForm::kConstant;
  if (same_) {
    const float neutral = which == kScale ? 1.0f : 0.0f;
    values_.assign(across_ + kSlack, o.form == OperandForm::kConstant ? o.constant : neutral);
  } else {
    values_.resize(std::max(across_, kElementsAtOnce / across_ * across_) + kSlack);
  }
}

void OperandRows::Fetch(uint64_t group_row) {
  first_ = group_row;
  end_ = std::min(group_rows_end_, group_row + std::max<uint64_t>(1, kElementsAtOnce / across_));
  const uint64_t at = first_ * across_, count = (end_ - first_) * across_;
  const Operand& o = matrix_->operand(which_);
  if (o.form == OperandForm::kArray) {
    WidenToF32(o.type, matrix_->operand_array(which_).data() + at * InfoOf(o.type).size, count, values_.data());
  } else {
    DecodeElements(matrix_->nested_operand(which_), at, count, values_.data());
  }
}

}  // namespace ingot

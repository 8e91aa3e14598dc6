#include "kernels/operand_rows.h"

#include <algorithm>

#include "format/packing.h"
#include "kernels/decode.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

constexpr uint64_t kElementsAtOnce = 2048;

void Prefetch(ByteSpan bytes, uint64_t first, uint64_t size) {
  const uint64_t end = std::min<uint64_t>(bytes.size(), first + size);
  for (uint64_t i = first; i < end; i += 64) __builtin_prefetch(bytes.data() + i, 0, 2);
}

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
    values_ = hwy::AllocateAligned<float>(across_ + kSlack);
    std::fill_n(values_.get(), across_ + kSlack, o.form == OperandForm::kConstant ? o.constant : neutral);
  } else {
    values_ = hwy::AllocateAligned<float>(std::max(across_, kElementsAtOnce / across_ * across_) + kSlack);
  }
}

void OperandRows::Fetch(uint64_t group_row) {
  first_ = group_row;
  end_ = std::min(group_rows_end_, group_row + std::max<uint64_t>(1, kElementsAtOnce / across_));
  const uint64_t at = first_ * across_, count = (end_ - first_) * across_;
  const Operand& o = matrix_->operand(which_);
  // Those that come next are asked for while the rows of these are at work: waiting for them took a tenth of a
  // product's time.
  if (o.form == OperandForm::kArray) {
    const uint64_t size = InfoOf(o.type).size;
    const ByteSpan array = matrix_->operand_array(which_);
    WidenToF32(o.type, array.data() + at * size, count, values_.get());
    Prefetch(array, (at + count) * size, count * size);
  } else {
    const EncodedMatrix& child = matrix_->nested_operand(which_);
    DecodeElements(child, at, count, values_.get());
    const auto widths = FieldWidths(child.linear.bits);
    for (size_t f = 0; f < widths.size(); ++f)
      Prefetch(child.codes[f], PackedRowBytes(at + count, widths[f]), PackedRowBytes(count, widths[f]));
  }
}

}  // namespace ingot

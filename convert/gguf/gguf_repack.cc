#include "convert/gguf/gguf_repack.h"

#include <algorithm>
#include <cstring>

#include "convert/gguf/gguf_match.h"
#include "kernels/pack.h"

namespace ingot {
namespace {

// Codes that are unpacked at a time; they stay in the first-level cache.
constexpr uint64_t kCodesAtOnce = 8 << 10;
static_assert(kCodesAtOnce % kMaxGgufBlock == 0 && kCodesAtOnce % kPackUnit == 0);
using Codes = std::array<uint8_t, kCodesAtOnce + kPackUnit>;

// Codes [first, first + count) of packed row `row` of `row_cols` codes. They begin at the returned place.
const uint8_t* Unpack(const EncodedMatrix& matrix, uint64_t row, uint64_t row_cols, uint64_t first, uint64_t count,
                      Codes& out) {
  const uint64_t skipped = first % kPackUnit, unit = first / kPackUnit;
  const std::span<const uint8_t> widths = FieldWidths(matrix.linear.bits);
  std::array<const std::byte*, kMaxFields> fields{};
  for (size_t f = 0; f < widths.size(); ++f) {
    fields[f] = matrix.codes[f].data() + row * PackedRowBytes(row_cols, widths[f]) +
                PackedRowBytes(unit * kPackUnit, widths[f]);
  }
  UnpackRow(std::span(fields).first(widths.size()), skipped + count, matrix.linear.bits, out.data());
  return out.data() + skipped;
}

}  // namespace

GgufRepacker::GgufRepacker(const GgufType& type, const EncodedMatrix& matrix) : type_(type), matrix_(matrix) {
  const Linear& l = matrix.linear;
  const EncodedMatrix* child = matrix.children.data();
  s_ = ScalesOf(type.linear->s, l.s, matrix.s, 1, child);
  if (l.s.form == OperandForm::kNested) ++child;
  o_ = ScalesOf(type.linear->o, l.o, matrix.o, 0, child);
}

GgufRepacker::Scales GgufRepacker::ScalesOf(const GgufOperand& operand, const Operand& form, ByteSpan array,
                                            float neutral, const EncodedMatrix* child) const {
  Scales scales;
  scales.operand = &operand;
  const Operand* halves = &form;
  if (form.form == OperandForm::kNested) {
    scales.codes = child;
    scales.groups = &child->linear;
    scales.run = type_.block_elements / type_.linear->group;
    halves = &child->linear.s;
    array = child->s;
    neutral = 1;
  } else {
    scales.groups = &matrix_.linear;
    scales.run = type_.block_elements;
  }
  if (halves->form == OperandForm::kArray) {
    scales.halves = array;
    return scales;
  }
  const float value = halves->form == OperandForm::kAbsent ? neutral : halves->constant;
  GgufOperand wanted = operand;
  if (scales.codes != nullptr) wanted.bits = 0;  // the f16 alone is to be found
  const auto found = FindGgufScale(wanted, value).value_or(GgufScale{});
  scales.code = found.code;
  scales.half = found.half;
  return scales;
}

void GgufRepacker::PutHalves(const Scales& scales, uint64_t first, uint64_t count, std::byte* blocks) const {
  if (scales.operand->half < 0) return;
  const Linear& l = *scales.groups;
  std::byte* at = blocks + scales.operand->half;
  for (uint64_t i = 0; i < count; ++i, at += type_.block_bytes) {
    if (scales.halves.empty()) {
      Store(at, scales.half);
      continue;
    }
    const uint64_t element = (first + i) * scales.run;
    const uint64_t group = element / l.cols / l.group_rows * l.groups_across() + element % l.cols / l.group_cols;
    Store(at, static_cast<uint16_t>(Load<uint16_t>(scales.halves.data() + 2 * group) ^ scales.operand->flip));
  }
}

// Blocks of `cols` elements of a row, at most kCodesAtOnce.
void GgufRepacker::RepackRun(uint64_t row, uint64_t col, uint64_t cols, std::byte* blocks) const {
  const uint64_t elements = type_.block_elements, all = matrix_.linear.cols;
  const uint64_t first = (row * all + col) / elements, count = cols / elements;
  Codes codes, s, o;
  const uint8_t* own = Unpack(matrix_, row, all, col, cols, codes);
  const auto scale_codes = [&](const Scales& scales, Codes& out) -> const uint8_t* {
    if (scales.operand->bits == 0) return nullptr;
    const uint64_t per_block = elements / type_.linear->group;
    if (scales.codes != nullptr) return Unpack(*scales.codes, 0, 0, first * per_block, count * per_block, out);
    std::fill_n(out.begin(), count * per_block, scales.code);
    return out.data();
  };
  std::memset(blocks, 0, count * type_.block_bytes);
  type_.linear->pack(own, scale_codes(s_, s), scale_codes(o_, o), count, blocks);
  PutHalves(s_, first, count, blocks);
  PutHalves(o_, first, count, blocks);
}

void GgufRepacker::Repack(uint64_t first, uint64_t count, std::byte* blocks) const {
  const uint64_t elements = type_.block_elements, cols = matrix_.linear.cols;
  while (count > 0) {
    const uint64_t row = first * elements / cols, col = first * elements % cols;
    const uint64_t run = std::min({kCodesAtOnce, cols - col, count * elements});
    RepackRun(row, col, run, blocks);
    first += run / elements;
    count -= run / elements;
    blocks += run / elements * type_.block_bytes;
  }
}

}  // namespace ingot

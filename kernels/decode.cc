// Decoding a piece of a row at a time: codes unpacked by SIMD, operands looked up once per group. The bits are those of
// the reference.
#include <algorithm>
#include <array>

#include "kernels/decode.h"
#include "kernels/matrix.h"
#include "kernels/pack.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

constexpr uint64_t kPiece = 2048;  // columns at a time; a multiple of the packing unit

struct GroupOperands {
  float s, z, o;
};

// One group's run of codes. An absent operand's operation is left out, as the spec has it.
template <typename Round>
void DecodeRun(const EncodedMatrix& m, const GroupOperands& g, const uint8_t* codes, uint64_t count, float* out,
               Round&& round) {
  const Linear& l = m.linear;
  if (l.codebook) {
    for (uint64_t i = 0; i < count; ++i) out[i] = Load<float>(m.codebook.data() + 4 * codes[i]);
  } else {
    for (uint64_t i = 0; i < count; ++i) out[i] = static_cast<float>(codes[i]);
  }
  if (l.z.form != OperandForm::kAbsent) {
    for (uint64_t i = 0; i < count; ++i) out[i] = round(out[i] - g.z);
  }
  if (l.s.form != OperandForm::kAbsent) {
    for (uint64_t i = 0; i < count; ++i) out[i] = round(g.s * out[i]);
  }
  if (l.o.form != OperandForm::kAbsent) {
    for (uint64_t i = 0; i < count; ++i) out[i] = round(out[i] - g.o);
  }
}

// Stored columns [begin, end) of a row, begin a multiple of 64, at most kPiece of them: all but t and h.
void DecodeStored(const EncodedMatrix& m, uint64_t row, uint64_t begin, uint64_t end, float* out) {
  const Linear& l = m.linear;
  std::array<uint8_t, kPiece> codes;
  std::array<const std::byte*, kMaxFields> fields{};
  const auto widths = FieldWidths(l.bits);
  for (size_t f = 0; f < widths.size(); ++f) {
    fields[f] = m.codes[f].data() + row * PackedRowBytes(l.cols, widths[f]) + PackedRowBytes(begin, widths[f]);
  }
  UnpackRow(std::span(fields).first(widths.size()), end - begin, l.bits, codes.data());
  for (uint64_t at = begin; at < end;) {
    const uint64_t group = at / l.group_cols, last = std::min(end, (group + 1) * l.group_cols);
    const uint64_t number = row / l.group_rows * l.groups_across() + group;
    const GroupOperands g = {reference::GroupOperand(m, 0, number), reference::GroupOperand(m, 1, number),
                             reference::GroupOperand(m, 2, number)};
    const uint8_t* run = codes.data() + (at - begin);
    float* to = out + (at - begin);
    if (l.arithmetic == DType::kF32) {
      DecodeRun(m, g, run, last - at, to, [](float w) { return w; });
    } else {
      DecodeRun(m, g, run, last - at, to, [&](float w) { return RoundTo(l.arithmetic, w); });
    }
    at = last;
  }
}

// Logical columns [begin, end) of a row, before t and h.
void DecodeColumns(const EncodedMatrix& m, uint64_t row, uint64_t begin, uint64_t end, float* out) {
  std::array<float, kPiece> piece;
  if (m.linear.permutation) {  // a whole row: stored column j goes to logical column perm[j]
    for (uint64_t at = 0; at < m.linear.cols; at += kPiece) {
      const uint64_t last = std::min(m.linear.cols, at + kPiece);
      DecodeStored(m, row, at, last, piece.data());
      for (uint64_t j = at; j < last; ++j) {
        const uint64_t column = Load<uint32_t>(m.permutation.data() + 4 * j);
        if (column >= begin && column < end) out[column - begin] = piece[j - at];
      }
    }
    return;
  }
  for (uint64_t at = begin; at < end;) {
    const uint64_t start = at / kPackUnit * kPackUnit, last = std::min(end, start + kPiece);
    DecodeStored(m, row, start, last, piece.data());
    std::copy(piece.begin() + static_cast<ptrdiff_t>(at - start), piece.begin() + static_cast<ptrdiff_t>(last - start),
              out + (at - begin));
    at = last;
  }
}

}  // namespace

void DecodeElements(const EncodedMatrix& m, uint64_t first, uint64_t count, float* out) {
  const Linear& l = m.linear;
  while (count > 0) {
    const uint64_t row = first / l.cols, begin = first % l.cols, end = std::min(l.cols, begin + count);
    DecodeColumns(m, row, begin, end, out);
    for (uint64_t c = begin; c < end && l.t.form != OperandForm::kAbsent; ++c) {
      const float t = l.t.form == OperandForm::kConstant ? l.t.constant : reference::LoadFloat(m.t, l.t.type, c);
      out[c - begin] = RoundTo(l.arithmetic, out[c - begin] * t);
    }
    if (l.outliers != OutlierForm::kNone) reference::AddOutliers(m, row, begin, end, out);
    if (l.result != DType::kF32)
      std::transform(out, out + (end - begin), out, [&](float w) { return RoundTo(l.result, w); });
    out += end - begin;
    count -= end - begin;
    first += end - begin;
  }
}

void DecodeTo(const EncodedMatrix& m, uint64_t first, uint64_t count, DType type, void* out, bool) {
  std::array<float, kPiece> piece;
  const uint64_t size = InfoOf(type).size;
  for (uint64_t at = 0; at < count; at += kPiece) {
    const uint64_t n = std::min(kPiece, count - at);
    DecodeElements(m, first + at, n, piece.data());
    NarrowFromF32(type, piece.data(), n, static_cast<std::byte*>(out) + at * size);
  }
}

}  // namespace ingot

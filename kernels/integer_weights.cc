#include "kernels/integer_weights.h"

#include <algorithm>
#include <cmath>

#include "format/packing.h"

namespace ingot {

std::optional<IntegerWeights> IntegerWeights::Make(const EncodedMatrix& m, const MatrixSlice& slice,
                                                   Precision precision) {
  const Linear& l = m.linear;
  const uint64_t group = std::min(l.group_cols, l.cols);
  const bool one_group = slice.column / group == (slice.column + slice.columns - 1) / group;
  if (slice.column % kPackUnit != 0 || (!one_group && slice.column % group != 0)) return std::nullopt;
  constexpr uint64_t kMostColumns = 1 << 16;  // of a group: 255 * 127 * 2^16 < 2^31, what a sum holds
  if (std::min(group, slice.columns) > kMostColumns) return std::nullopt;
  IntegerWeights w;
  w.matrix = &m, w.slice = slice;
  w.group_cols = one_group ? slice.columns : group;
  w.has_o = l.o.form != OperandForm::kAbsent;
  if (!l.codebook) {
    const float z = l.z.form == OperandForm::kConstant ? l.z.constant : 0.0f;
    const bool integer = std::abs(z) <= 255.0f && z == std::trunc(z);
    const bool same = l.z.form == OperandForm::kAbsent || (l.z.form == OperandForm::kConstant && integer);
    w.z = same ? static_cast<int>(z) : 0, w.varies = !same;
    return w;
  }
  if (l.bits > 4 || precision == Precision::kInt16) return std::nullopt;
  const auto entry = [&](size_t i) { return Load<float>(m.codebook.data() + 4 * i); };
  const size_t entries = m.codebook.size() / 4;
  float most = 0.0f;
  for (size_t i = 0; i < entries; ++i) most = std::max(most, std::abs(entry(i)));
  if (!(most > 0x1p-60f && most < 0x1p60f)) return std::nullopt;
  for (size_t i = 0; i < entries; ++i) {
    if (std::isnan(entry(i))) return std::nullopt;
    w.book[i] = static_cast<uint8_t>(128 + std::lround(entry(i) / most * 127.0f));
  }
  w.book_scale = most / 127.0f;
  w.z = 128, w.varies = l.z.form != OperandForm::kAbsent;
  return w;
}

}  // namespace ingot

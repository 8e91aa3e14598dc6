#include "convert/packed_tensor.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cstring>

#include "convert/pack_words.h"
#include "kernels/pack.h"

namespace ingot {
namespace {

// Repeats each of the lines of `line` bytes for every row of its group.
template <typename T>
std::vector<T> ForEachRow(std::vector<T> lines, const Linear& l, uint64_t line) {
  if (l.group_rows == 1) return lines;
  std::vector<T> rows(l.rows * line);
  for (uint64_t r = 0; r < l.rows; ++r) {
    const auto from = lines.begin() + static_cast<ptrdiff_t>(r / l.group_rows * line);
    std::copy(from, from + static_cast<ptrdiff_t>(line), rows.begin() + static_cast<ptrdiff_t>(r * line));
  }
  return rows;
}

void StoreFloat(DType type, float value, std::byte* at) {
  if (type == DType::kF32) return Store(at, value);
  Store(at, type == DType::kF16 ? F32ToF16(value) : F32ToBF16(value));
}

void UnpackAt(const EncodedMatrix& m, uint64_t row, uint64_t cols, uint8_t* codes) {
  const std::span<const uint8_t> widths = FieldWidths(m.linear.bits);
  std::array<const std::byte*, kMaxFields> fields{};
  for (size_t f = 0; f < widths.size(); ++f) fields[f] = m.codes[f].data() + row * PackedRowBytes(cols, widths[f]);
  UnpackRow(std::span(fields).first(widths.size()), cols, m.linear.bits, codes);
}

}  // namespace

void PackedRows::Unpack(uint64_t row, uint8_t* codes) const {
  const uint64_t cols = matrix_.linear.cols;
  if (!matrix_.linear.permutation) return UnpackAt(matrix_, row, cols, codes);
  std::vector<uint8_t> stored(cols);
  UnpackAt(matrix_, row, cols, stored.data());
  for (uint64_t c = 0; c < cols; ++c) codes[c] = stored[matrix_.stored_column[c]];
}

void PackedRows::Pack(uint64_t first, uint64_t count, std::byte* lines) const {
  tbb::parallel_for(tbb::blocked_range<uint64_t>(0, count, 16), [&](const tbb::blocked_range<uint64_t>& range) {
    std::vector<uint8_t> codes(matrix_.linear.cols);
    for (uint64_t r = range.begin(); r < range.end(); ++r) {
      Unpack(first + r, codes.data());
      PackLine(order_, matrix_.linear.bits, codes.data(), codes.size(), lines + r * line_bytes());
    }
  });
}

std::vector<std::byte> ScaleBytes(const EncodedMatrix& m, DType type) {
  const Linear& l = m.linear;
  const size_t size = InfoOf(type).size;
  std::vector<std::byte> bytes;
  if (l.s.form == OperandForm::kArray) {
    bytes.assign(m.s.begin(), m.s.end());
  } else {
    bytes.resize(l.group_count() * size);
    for (uint64_t g = 0; g < l.group_count(); ++g)
      StoreFloat(type, reference::GroupOperand(m, 0, g), bytes.data() + g * size);
  }
  return ForEachRow(std::move(bytes), l, l.groups_across() * size);
}

std::vector<uint8_t> ZeroCodes(const EncodedMatrix& m, int minus) {
  std::vector<uint8_t> codes(m.linear.group_count());
  for (uint64_t g = 0; g < codes.size(); ++g)
    codes[g] = static_cast<uint8_t>(static_cast<int>(reference::GroupOperand(m, 1, g)) - minus);
  return ForEachRow(std::move(codes), m.linear, m.linear.groups_across());
}

std::vector<uint8_t> ScaleCodes(const EncodedMatrix& m) {
  const EncodedMatrix& scales = m.children.front();
  std::vector<uint8_t> codes(scales.linear.rows * scales.linear.cols);
  UnpackAt(scales, 0, codes.size(), codes.data());
  return codes;
}

std::vector<std::byte> PackByGroup(const std::vector<uint8_t>& codes, uint64_t rows, CodeOrder order, int bits) {
  const uint64_t groups = codes.size() / rows, line = 4 * LineWords(order, bits, rows);
  std::vector<std::byte> turned(codes.size()), words(groups * line);
  Transpose(1, std::as_bytes(std::span(codes)).data(), rows, groups, turned.data());
  const auto* lines = reinterpret_cast<const uint8_t*>(turned.data());
  for (uint64_t g = 0; g < groups; ++g) PackLine(order, bits, lines + g * rows, rows, words.data() + g * line);
  return words;
}

std::vector<std::byte> GroupOfColumns(const EncodedMatrix& m) {
  const Linear& l = m.linear;
  std::vector<std::byte> groups(4 * l.cols);
  for (uint64_t c = 0; c < l.cols; ++c) {
    const uint64_t stored = l.permutation ? m.stored_column[c] : c;
    Store(groups.data() + 4 * c, static_cast<uint32_t>(stored / l.group_cols));
  }
  return groups;
}

}  // namespace ingot

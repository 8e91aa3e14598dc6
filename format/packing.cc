#include "format/packing.h"

#include <array>
#include <cstring>

namespace ingot {
namespace {

struct Fields {
  uint8_t count;
  std::array<uint8_t, kMaxFields> widths;
};

constexpr std::array<Fields, 9> kFields = {
    {{0, {}}, {1, {1}}, {1, {2}}, {2, {2, 1}}, {1, {4}}, {2, {4, 1}}, {2, {4, 2}}, {3, {4, 2, 1}}, {1, {8}}}};

// Where the field of column `col` lies in a plane row.
struct Place {
  uint64_t byte;
  int bit;
};

Place PlaceOf(uint64_t col, int field_width) {
  const uint64_t unit_bytes = 8 * static_cast<uint64_t>(field_width);
  const uint64_t j = col % kPackUnit;
  return {col / kPackUnit * unit_bytes + j % unit_bytes, field_width * static_cast<int>(j / unit_bytes)};
}

}  // namespace

std::span<const uint8_t> FieldWidths(int bits) {
  if (bits < 1 || bits > 8) return {};
  const Fields& fields = kFields[static_cast<size_t>(bits)];
  return {fields.widths.data(), fields.count};
}

void PackFieldScalar(const uint8_t* codes, uint64_t cols, int field_width, int shift, std::byte* row) {
  if (cols == 0) return;
  std::memset(row, 0, PackedRowBytes(cols, field_width));
  const unsigned mask = (1u << field_width) - 1;
  for (uint64_t c = 0; c < cols; ++c) {
    const Place at = PlaceOf(c, field_width);
    row[at.byte] |= static_cast<std::byte>(((codes[c] >> shift) & mask) << at.bit);
  }
}

void UnpackFieldScalar(const std::byte* row, uint64_t cols, int field_width, int shift, uint8_t* codes) {
  const unsigned mask = (1u << field_width) - 1;
  for (uint64_t c = 0; c < cols; ++c) {
    const Place at = PlaceOf(c, field_width);
    const unsigned field = (std::to_integer<unsigned>(row[at.byte]) >> at.bit) & mask;
    codes[c] = static_cast<uint8_t>(codes[c] | (field << shift));
  }
}

void PackRowScalar(const uint8_t* codes, uint64_t cols, int bits, std::span<std::byte* const> field_rows) {
  int shift = 0;
  size_t i = 0;
  for (int width : FieldWidths(bits)) {
    PackFieldScalar(codes, cols, width, shift, field_rows[i++]);
    shift += width;
  }
}

void UnpackRowScalar(std::span<const std::byte* const> field_rows, uint64_t cols, int bits, uint8_t* codes) {
  if (cols == 0) return;
  std::memset(codes, 0, cols);
  int shift = 0;
  size_t i = 0;
  for (int width : FieldWidths(bits)) {
    UnpackFieldScalar(field_rows[i++], cols, width, shift, codes);
    shift += width;
  }
}

}  // namespace ingot

#include "convert/import/transposed_codes.h"

#include "format/packing.h"

namespace ingot {
namespace {

void Unpack(CodeOrder order, int bits, const std::byte* line, uint64_t count, bool plain, uint8_t* codes) {
  if (!plain) return UnpackLine(order, bits, line, count, codes);
  for (uint64_t i = 0; i < count; ++i) codes[i] = CodeAt(order, bits, line, i);
}

}  // namespace

// 64 codes are whole words at every width.
uint64_t TransposedCodes::row_step() const { return lines_down ? 1 : kPackUnit; }

Status TransposedCodes::operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const {
  const uint64_t row = first / cols, n = count / cols;
  const auto read = lines_down ? ReadColumns(*source, *words, row, n)
                               : ReadColumns(*source, *words, LineWords(order, bits, row), LineWords(order, bits, n));
  if (!read) return Propagate(read);
  return lines_down ? FromLinesDown(read->data(), n, plain, codes) : FromLinesAcross(read->data(), n, plain, codes);
}

Status TransposedCodes::FromLinesDown(const std::byte* read, uint64_t count, bool plain, uint8_t* codes) const {
  const uint64_t line_words = LineWords(order, bits, cols);
  std::vector<std::byte> lines(4 * line_words * count);
  Transpose(4, read, line_words, count, lines.data());
  const bool permuted = !plain && !permutation.empty();
  std::vector<uint8_t> row(permuted ? cols : 0);
  for (uint64_t r = 0; r < count; ++r) {
    uint8_t* to = codes + r * cols;
    Unpack(order, bits, lines.data() + 4 * r * line_words, cols, plain, permuted ? row.data() : to);
    for (uint64_t j = 0; j < row.size(); ++j) to[j] = row[permutation[j]];
  }
  return {};
}

Status TransposedCodes::FromLinesAcross(const std::byte* read, uint64_t count, bool plain, uint8_t* codes) const {
  const uint64_t line = 4 * LineWords(order, bits, count);
  const bool permuted = !plain && !permutation.empty();
  std::vector<uint8_t> columns(cols * count);
  for (uint64_t j = 0; j < cols; ++j) {
    const uint64_t c = permuted ? permutation[j] : j;
    Unpack(order, bits, read + c * line, count, plain, columns.data() + j * count);
  }
  Transpose(1, std::as_bytes(std::span(columns)).data(), cols, count, reinterpret_cast<std::byte*>(codes));
  return {};
}

}  // namespace ingot

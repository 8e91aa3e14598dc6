#include "convert/import/grouped_import.h"

#include <algorithm>
#include <memory>

#include "convert/io_bytes.h"
#include "format/checked.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

float ValueAt(const std::vector<float>& values, uint64_t group) {
  return values.empty() ? 0.0f : values.size() == 1 ? values.front() : values[group];
}

}  // namespace

Status GroupedImport::ReadOperands(EncodedPart& part) const {
  const OperandSource* const sources[] = {&layout_.s, &layout_.z, &layout_.o};
  for (size_t i = 0; i < kGroupOperands; ++i) {
    if (!sources[i]->fill) continue;
    if (auto filled = sources[i]->fill(part.operands[i]); !filled) return filled;
  }
  return {};
}

Status GroupedImport::DecodeRange(uint64_t first, uint64_t count, float* out) const {
  const Linear& l = linear();
  const OperandSource* const sources[] = {&layout_.s, &layout_.z, &layout_.o};
  std::vector<float> values[kGroupOperands];
  for (size_t i = 0; i < kGroupOperands; ++i) {
    if (!sources[i]->values) continue;
    auto read = sources[i]->values();
    if (!read) return Propagate(read);
    values[i] = std::move(*read);
  }
  std::vector<uint8_t> codes(count);
  if (auto read = layout_.codes(first, count, true, codes.data()); !read) return read;
  const uint64_t across = l.groups_across();
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t row = (first + i) / l.cols, col = (first + i) % l.cols;
    const uint64_t group = row / l.group_rows * across +
                           (layout_.group_of_column.empty() ? col / l.group_cols : layout_.group_of_column[col]);
    out[i] = layout_.value(codes[i], ValueAt(values[0], group), ValueAt(values[1], group), ValueAt(values[2], group));
  }
  return {};
}

OperandSource ArrayOperand(DType type, std::function<Result<std::vector<std::byte>>()> read, bool negated) {
  const size_t size = InfoOf(type).size;
  const auto fill = [read, negated, size](OperandBlock& block) -> Status {
    auto bytes = read();
    if (!bytes) return Propagate(bytes);
    block.array = std::move(*bytes);
    for (size_t at = size - 1; negated && at < block.array.size(); at += size) block.array[at] ^= std::byte{0x80};
    return {};
  };
  const auto values = [read, type, size]() -> Result<std::vector<float>> {
    const auto bytes = read();
    if (!bytes) return Propagate(bytes);
    std::vector<float> out(bytes->size() / size);
    WidenToF32(type, bytes->data(), out.size(), out.data());
    return out;
  };
  return {fill, values};
}

OperandSource ArrayOperand(const Source& source, const SourceTensor& tensor, bool negated) {
  return ArrayOperand(
      tensor.dtype, [&source, &tensor] { return ReadAll(source, tensor); }, negated);
}

OperandSource TransposedOperand(const Source& source, const SourceTensor& tensor, uint64_t groups, bool negated) {
  const auto read = [&source, &tensor, groups]() -> Result<std::vector<std::byte>> {
    const uint64_t rows = tensor.shape[1], size = InfoOf(tensor.dtype).size;
    std::vector<std::byte> stored(groups * rows * size), turned(stored.size());
    if (auto done = ReadElements(source, tensor, 0, groups * rows, stored); !done) return Propagate(done);
    Transpose(static_cast<int>(size), stored.data(), groups, rows, turned.data());
    return turned;
  };
  return ArrayOperand(tensor.dtype, read, negated);
}

OperandSource CodesOperand(std::function<Result<std::vector<uint8_t>>()> codes, float plus) {
  const auto fill = [codes](OperandBlock& block) -> Status {
    auto read = codes();
    if (!read) return Propagate(read);
    block.codes = std::move(*read);
    return {};
  };
  const auto values = [codes, plus]() -> Result<std::vector<float>> {
    const auto read = codes();
    if (!read) return Propagate(read);
    std::vector<float> out;
    out.reserve(read->size());
    for (uint8_t code : *read) out.push_back(static_cast<float>(code) + plus);
    return out;
  };
  return {fill, values};
}

Status RowCodes::operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const {
  // Whole rows; or, where the range lies in one row, whole bytes of it: ranges begin at multiples of 64 columns.
  const uint64_t row = first / cols, col = first % cols;
  const uint64_t width = std::min(count, cols), lines = count / width;
  const uint64_t begin = row * stride + LineBytes(order, bits, col);
  const uint64_t line_bytes = LineBytes(order, bits, width), step = lines == 1 ? line_bytes : stride;
  thread_local IoBytes bytes;
  bytes.resize((lines - 1) * step + line_bytes);
  if (auto read = ReadBytes(*source, *words, begin, bytes); !read) return read;
  for (uint64_t r = 0; r < lines; ++r) {
    const std::byte* line = bytes.data() + r * step;
    uint8_t* out = codes + r * width;
    if (plain) {
      for (uint64_t i = 0; i < width; ++i) out[i] = CodeAt(order, bits, line, i);
    } else {
      UnpackLine(order, bits, line, width, out);
    }
    for (uint64_t i = 0; flip != 0 && i < width; ++i) out[i] ^= flip;
  }
  return {};
}

}  // namespace ingot

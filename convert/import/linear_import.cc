#include "convert/import/linear_import.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "convert/io_bytes.h"
#include "format/checked.h"
#include "kernels/pack.h"

namespace ingot {
namespace {

// Codes of a block: a byte each while it is unpacked.
constexpr uint64_t kBlockCodes = uint64_t{4} << 20;
// Those that are taken apart and packed at a time: they stay in the second-level cache.
constexpr uint64_t kCodesAtOnce = uint64_t{256} << 10;

// Appends rows of `cols` codes, packed, to the planes of their fields.
void PackRows(const uint8_t* codes, uint64_t rows, uint64_t cols, int bits, EncodedPart& part) {
  const std::span<const uint8_t> widths = FieldWidths(bits);
  std::array<std::byte*, kMaxFields> fields{};
  for (size_t f = 0; f < widths.size(); ++f) {
    const size_t at = part.codes[f].size();
    part.codes[f].resize(at + rows * PackedRowBytes(cols, widths[f]));
    fields[f] = part.codes[f].data() + at;
  }
  for (uint64_t r = 0; r < rows; ++r) {
    PackRow(codes + r * cols, cols, bits, std::span(fields).first(widths.size()));
    for (size_t f = 0; f < widths.size(); ++f) fields[f] += PackedRowBytes(cols, widths[f]);
  }
}

}  // namespace

LinearImport::LinearImport(std::string description, PartPlan plan, uint64_t row_step)
    : description_(std::move(description)) {
  const Linear& l = plan.linear;
  unit_ = l.rows == 1 ? std::lcm(std::lcm(kPackUnit, row_step), std::min(l.group_cols, l.cols)) : row_step * l.cols;
  block_units_ = std::max<uint64_t>(kBlockCodes / unit_, 1);
  plan_.parts.push_back(std::move(plan));
}

uint64_t LinearImport::block_count() const {
  return CeilDiv(CeilDiv(linear().rows * linear().cols, unit_), block_units_);
}

LinearImport::Range LinearImport::RangeOf(uint64_t block) const {
  const uint64_t size = unit_ * block_units_, first = block * size;
  return {first, std::min(size, linear().rows * linear().cols - first)};
}

Status LinearImport::Prepare(uint64_t block, ReadAhead& ahead) const {
  const Range range = RangeOf(block);
  return PrepareCodes(range.first, range.count, ahead);
}

Status LinearImport::Encode(uint64_t block, std::span<EncodedPart> parts) const {
  const Linear& l = linear();
  EncodedPart& part = parts.front();
  const Range range = RangeOf(block);
  if (block == 0) {
    if (auto read = ReadOperands(part); !read) return read;
  }
  thread_local IoCodes codes;
  const uint64_t most = std::min(std::max<uint64_t>(kCodesAtOnce / unit_, 1) * unit_, range.count);
  const std::span<const uint8_t> widths = FieldWidths(l.bits);
  for (size_t f = 0; f < widths.size(); ++f)
    part.codes[f].reserve(CeilDiv(range.count, l.cols) * PackedRowBytes(std::min(range.count, l.cols), widths[f]));
  codes.resize(most);
  for (uint64_t done = 0; done < range.count; done += most) {
    const uint64_t count = std::min(most, range.count - done), cols = l.rows == 1 ? count : l.cols;
    if (auto read = ReadCodes(range.first + done, count, codes.data()); !read) return read;
    PackRows(codes.data(), count / cols, cols, l.bits, part);
  }
  return {};
}

Status LinearImport::Decode(uint64_t first, uint64_t count, float* out) const {
  // Widened to whole units.
  const uint64_t begin = first / unit_ * unit_, total = linear().rows * linear().cols;
  std::vector<float> values;
  for (uint64_t at = begin; at < first + count; at += values.size()) {
    values.resize(std::min(unit_ * block_units_, total - at));
    if (at + values.size() > first + count)
      values.resize(std::min(CeilDiv(first + count - at, unit_) * unit_, total - at));
    if (auto decoded = DecodeRange(at, values.size(), values.data()); !decoded) return decoded;
    const uint64_t from = std::max(at, first), to = std::min(at + values.size(), first + count);
    std::copy(values.begin() + static_cast<ptrdiff_t>(from - at), values.begin() + static_cast<ptrdiff_t>(to - at),
              out + (from - first));
  }
  return {};
}

PartPlan PlanRows(int bits, uint64_t rows, uint64_t cols, uint64_t group_cols, DType result) {
  PartPlan plan;
  plan.linear.bits = bits;
  plan.linear.rows = rows;
  plan.linear.cols = cols;
  plan.linear.group_cols = std::min(group_cols, cols);
  plan.linear.result = result;
  return plan;
}

void NestCodes(PartPlan& plan, size_t i, int bits, float plus) {
  GroupOperand(plan.linear, i) = Operand::Nested();
  EncodingPlan nested;
  nested.linear.bits = bits;
  nested.linear.rows = nested.linear.group_rows = plan.linear.groups_down();
  nested.linear.cols = nested.linear.group_cols = plan.linear.groups_across();
  if (plus != 0.0f) nested.linear.z = Operand::Constant(-plus);
  plan.nested[i] = std::move(nested);
}

}  // namespace ingot

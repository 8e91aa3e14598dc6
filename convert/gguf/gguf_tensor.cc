#include "convert/gguf/gguf_tensor.h"

#include <algorithm>

#include "format/checked.h"
#include "format/text.h"
#include "kernels/pack.h"

namespace ingot {
namespace {

// Source bytes per piece, about.
constexpr uint64_t kPieceBytes = 2 << 20;
// Where a row may be cut: whole units of the packing, and whole blocks of every type.
constexpr uint64_t kCut = 256;
static_assert(kCut % kPackUnit == 0 && kCut % kMaxGgufBlock == 0);
// Codes that are unpacked at a time; they stay in the first-level cache.
constexpr uint64_t kCodesAtOnce = 8 << 10;
static_assert(kCodesAtOnce % kCut == 0);

EncodingPlan PlanNested(const GgufOperand& operand, const Linear& parent, uint64_t groups_per_block) {
  EncodingPlan plan;
  Linear& l = plan.linear;
  l.bits = operand.bits;
  l.rows = l.group_rows = parent.groups_down();
  l.cols = l.group_cols = parent.groups_across();
  if (operand.half >= 0) {
    l.group_rows = 1;
    l.group_cols = groups_per_block;
    l.s = Operand::Array(DType::kF16);
  }
  if (operand.zero != 0) l.z = Operand::Constant(operand.zero);
  l.codebook = !operand.codebook.empty();
  plan.codebook.assign(operand.codebook.begin(), operand.codebook.end());
  return plan;
}

PartPlan PlanPart(const GgufType& type, uint64_t rows, uint64_t cols) {
  const GgufLinear& from = *type.linear;
  PartPlan plan;
  Linear& l = plan.linear;
  l.bits = from.bits;
  l.rows = rows;
  l.cols = cols;
  l.group_cols = from.group;
  if (from.zero != 0) l.z = Operand::Constant(from.zero);
  l.codebook = !from.codebook.empty();
  plan.codebook.assign(from.codebook.begin(), from.codebook.end());
  const GgufOperand* operands[kGroupOperands] = {&from.s, nullptr, &from.o};
  for (size_t i = 0; i < kGroupOperands; ++i) {
    if (operands[i] == nullptr) continue;
    if (operands[i]->bits != 0) {
      GroupOperand(l, i) = Operand::Nested();
      plan.nested[i] = PlanNested(*operands[i], l, type.block_elements / from.group);
    } else if (operands[i]->half >= 0) {
      GroupOperand(l, i) = Operand::Array(DType::kF16);
    }
  }
  return plan;
}

// The f16 of each block: the operand itself, or the scale of its codes.
void PutHalves(const GgufOperand& operand, uint32_t block_bytes, const std::byte* blocks, uint64_t count,
               OperandBlock& out) {
  if (operand.half < 0) return;
  std::vector<std::byte>& halves = operand.bits == 0 ? out.array : out.arrays[0];
  halves.resize(2 * count);
  for (uint64_t i = 0; i < count; ++i) {
    const auto half = Load<uint16_t>(blocks + i * block_bytes + operand.half);
    Store(halves.data() + 2 * i, static_cast<uint16_t>(half ^ operand.flip));
  }
}

}  // namespace

GgufTensor::GgufTensor(const Source& source, uint32_t file, const GgufTensorInfo& info)
    : source_(source),
      type_(*info.type),
      name_(info.name),
      file_(file),
      offset_(info.offset),
      rows_(info.element_count() / info.shape.back()),
      cols_(info.shape.back()) {
  const uint64_t row_bytes = BlocksIn(cols_) * type_.block_bytes;
  piece_rows_ = std::max<uint64_t>(kPieceBytes / row_bytes, 1);
  const uint64_t cut_bytes = kCut / type_.block_elements * type_.block_bytes;
  piece_cols_ = row_bytes > kPieceBytes ? kPieceBytes / cut_bytes * kCut : cols_;
  if (type_.import == GgufImport::kLinear) {
    plan_.parts.push_back(PlanPart(type_, rows_, cols_));
  } else {
    const std::string name = std::string(kGgufForeignPrefix).append(type_.name);
    plan_.verbatim = VerbatimPlan::Plain(
        EncodingKind::kForeign, EncodeForeign({type_.block_bytes, type_.block_elements, info.element_count(), name}),
        {info.size, 1}, info.shape);
  }
}

std::string GgufTensor::description() const { return fmt::format("GGUF {}", type_.name); }

uint64_t GgufTensor::block_count() const { return CeilDiv(rows_, piece_rows_) * CeilDiv(cols_, piece_cols_); }

GgufTensor::Piece GgufTensor::PieceOf(uint64_t block) const {
  const uint64_t across = CeilDiv(cols_, piece_cols_);
  const uint64_t row = block / across * piece_rows_, col = block % across * piece_cols_;
  return {BlocksIn(row * cols_ + col), std::min(piece_rows_, rows_ - row), std::min(piece_cols_, cols_ - col)};
}

Status GgufTensor::Read(uint64_t first, uint64_t count, IoBytes& blocks) const {
  blocks.resize(count * type_.block_bytes);
  auto read = source_.Read(file_, offset_ + first * type_.block_bytes, blocks);
  if (!read) return Fail(read.error().code, "tensor {}: {}", Quote(name_), read.error().message);
  return {};
}

Status GgufTensor::Encode(uint64_t block, std::span<EncodedPart> parts) const {
  EncodedPart& part = parts.front();
  const Piece piece = PieceOf(block);
  const uint64_t count = BlocksIn(piece.rows * piece.cols);
  if (type_.import == GgufImport::kForeign) return Read(piece.first, count, part.bytes);
  thread_local IoBytes blocks;
  if (auto read = Read(piece.first, count, blocks); !read) return read;
  EncodeLinear(piece, blocks.data(), part);
  PutHalves(type_.linear->s, type_.block_bytes, blocks.data(), count, part.operands[0]);
  PutHalves(type_.linear->o, type_.block_bytes, blocks.data(), count, part.operands[2]);
  return {};
}

void GgufTensor::EncodeLinear(const Piece& piece, const std::byte* blocks, EncodedPart& part) const {
  const GgufLinear& linear = *type_.linear;
  const std::span<const uint8_t> widths = FieldWidths(linear.bits);
  std::array<std::byte*, kMaxFields> fields{};
  for (size_t f = 0; f < widths.size(); ++f) {
    part.codes[f].resize(piece.rows * PackedRowBytes(piece.cols, widths[f]));
    fields[f] = part.codes[f].data();
  }
  const uint64_t groups = piece.rows * piece.cols / linear.group;
  std::vector<uint8_t>&s_codes = part.operands[0].codes, &o_codes = part.operands[2].codes;
  if (linear.s.bits != 0) s_codes.resize(groups);
  if (linear.o.bits != 0) o_codes.resize(groups);

  std::array<uint8_t, kCodesAtOnce> codes;
  uint64_t group = 0;
  for (uint64_t row = 0; row < piece.rows; ++row) {
    for (uint64_t col = 0, count = 0; col < piece.cols; col += count) {
      count = std::min(kCodesAtOnce, piece.cols - col);
      linear.unpack(blocks, BlocksIn(count), codes.data(), s_codes.data() + (s_codes.empty() ? 0 : group),
                    o_codes.data() + (o_codes.empty() ? 0 : group));
      PackRow(codes.data(), count, linear.bits, std::span(fields).first(widths.size()));
      for (size_t f = 0; f < widths.size(); ++f) fields[f] += PackedRowBytes(count, widths[f]);
      blocks += BlocksIn(count) * type_.block_bytes;
      group += count / linear.group;
    }
  }
}

Status GgufTensor::Decode(uint64_t first, uint64_t count, float* out) const {
  if (type_.import == GgufImport::kForeign)
    return Fail(ErrorCode::kBadInput, "tensor {}: {} blocks cannot be decoded", Quote(name_), type_.name);
  constexpr uint64_t kBlocksAtOnce = 4096;
  thread_local IoBytes blocks;
  std::array<float, kMaxGgufBlock> values;
  while (count > 0) {
    const uint64_t elements = type_.block_elements, skipped = first % elements;
    const uint64_t wanted = std::min(CeilDiv(skipped + count, elements), kBlocksAtOnce);
    if (auto read = Read(first / elements, wanted, blocks); !read) return read;
    for (uint64_t b = 0; b < wanted; ++b) {
      type_.linear->decode(blocks.data() + b * type_.block_bytes, values.data());
      const uint64_t begin = first % elements, own = std::min(count, elements - begin);
      out = std::copy_n(values.data() + begin, own, out);
      first += own, count -= own;
    }
  }
  return {};
}

}  // namespace ingot

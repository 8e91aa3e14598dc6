#include "kernels/cuda/decode_plan.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "format/packing.h"

namespace ingot::cuda {
namespace {

// Blocks for `threads` threads' work; no more than the device can run at once, a few times over.
uint32_t BlocksFor(uint64_t threads, uint32_t multiprocessors) {
  const uint64_t most = uint64_t{multiprocessors} * 16;
  return static_cast<uint32_t>(std::clamp<uint64_t>((threads + kDecodeThreads - 1) / kDecodeThreads, 1, most));
}

// The table of a codebook of more than 32 entries, a copy for each lane; filling it should be worth while.
void AddCodebook(DecodeStep& step, uint32_t multiprocessors) {
  const NodeView& root = step.params.matrix.root;
  if (root.codebook == nullptr || root.bits <= 5) return;
  step.shared_bytes = (uint32_t{4} * kWarp) << root.bits;
  step.grid = std::min(step.grid, multiprocessors * 4);
}

DecodeStep AnyStep(const DecodeParams& params, DType type, uint32_t multiprocessors) {
  const MatrixView& m = params.matrix;
  const uint64_t piece = type == DType::kF32 ? 4 : 8, row_pieces = (m.columns - 1) / piece + 1;
  DecodeStep step;
  step.out = type;
  step.params = params;
  step.params.row_pieces = Divider::By(row_pieces);
  const auto piece_of = [&](uint64_t i) { return i / m.columns * row_pieces + i % m.columns / piece; };
  step.grid = BlocksFor(piece_of(params.end - 1) - piece_of(params.first) + 1, multiprocessors);
  AddCodebook(step, multiprocessors);
  return step;
}

DecodeStep OutlierStep(const DecodeParams& params, DType type, uint32_t multiprocessors) {
  const MatrixView& m = params.matrix;
  DecodeStep step;
  step.kernel = DecodeKernel::kOutliers;
  step.out = type;
  step.params = params;
  const uint64_t rows = (params.end - 1) / m.columns - params.first / m.columns + 1;
  // Of unstructured ones nobody knows here how many are in the range: all of them at most.
  step.grid = BlocksFor(m.outliers == kColumns ? rows * m.outlier_count : m.outlier_count, multiprocessors);
  return step;
}

// ---- DecodeFlat

struct Range {
  float least, most;
};

// The range of operand z, if all of its values are integers of at most 2^20.
std::optional<Range> IntegerZeros(const MatrixView& m) {
  const auto constant = [](const OperandView& z) -> std::optional<float> {
    if (z.form == kAbsent) return 0.0f;
    const bool whole = z.form == kConstant && std::abs(z.constant) <= 0x1p20f && std::rint(z.constant) == z.constant;
    return whole ? std::optional(z.constant) : std::nullopt;
  };
  const OperandView& z = m.root.operands[kZeroPoint];
  if (const auto value = constant(z)) return Range{*value, *value};
  if (z.form != kNested) return std::nullopt;
  const NodeView& n = m.nested[kZeroPoint];
  const auto less = constant(n.operands[kZeroPoint]);
  if (n.codebook != nullptr || n.operands[kScale].form != kAbsent || n.operands[kOffset].form != kAbsent ||
      n.arithmetic != kF32 || !less)
    return std::nullopt;
  return Range{-*less, static_cast<float>((1 << n.bits) - 1) - *less};
}

bool IsF16(const OperandView& s) {
  if (s.form == kArray) return s.type == kF16;
  return s.form != kNested && F16ToF32(F32ToF16(s.constant)) == s.constant;
}

// Whether DecodeFlat may decode it, and by which way.
std::optional<DecodeKernel> FlatWay(const MatrixView& m, DType type) {
  const bool offset = m.root.operands[kOffset].form != kAbsent, column_scale = m.t.form != kAbsent;
  if (m.stored_column != nullptr || m.t.form == kArray) return std::nullopt;
  const std::optional<Range> zeros = IntegerZeros(m);
  const int bits = m.root.bits;
  const bool halves = type == DType::kF16 && m.root.arithmetic != kBF16 && m.result != kBF16 && !offset &&
                      !column_scale && m.root.codebook == nullptr && IsF16(m.root.operands[kScale]);
  if (halves && zeros && zeros->least >= -1024 && zeros->most <= 1023) {
    if (bits > 4 || zeros->least < 0 || zeros->most > 31) return DecodeKernel::kHalves;
    return zeros->most > 15 ? DecodeKernel::kWideNibbles : DecodeKernel::kNibbles;
  }
  if (m.root.arithmetic != kF32 || (m.result != kF32 && m.result != static_cast<Type>(type))) return std::nullopt;
  if (m.root.codebook != nullptr) {
    const bool common = (bits == 4 || bits == 8) && !offset && !column_scale;
    return common ? std::optional(DecodeKernel::kCodebook) : std::nullopt;
  }
  return zeros && !offset && !column_scale ? DecodeKernel::kSimpleFloats : DecodeKernel::kFloats;
}

// The group columns that matter: none if no operand has groups. 0: the groups do not suit DecodeFlat.
uint64_t FlatGroupColumns(const MatrixView& m) {
  const NodeView& n = m.root;
  const bool grouped = std::any_of(std::begin(n.operands), std::end(n.operands),
                                   [](const OperandView& o) { return o.form == kArray || o.form == kNested; });
  if (m.rows > 1 && m.columns % kPackUnit != 0) return 0;
  if (!grouped) return uint64_t{1} << 48;
  const uint64_t columns = n.group_columns.divisor;
  if (n.group_rows.divisor != 1 || (m.rows > 1 && m.columns % columns != 0)) return 0;
  return columns == 32 || columns % kPackUnit == 0 ? columns : 0;
}

// At most 32 groups; as many units as a lane's turn takes, or a multiple of that.
uint32_t TileUnits(uint64_t group_columns) { return group_columns == 32 ? 16 : group_columns == kPackUnit ? 32 : 64; }

DecodeStep FlatStep(const DecodeParams& params, DType type, DecodeKernel way, uint64_t group_columns,
                    uint32_t multiprocessors) {
  const MatrixView& m = params.matrix;
  DecodeStep step;
  step.kernel = way;
  step.out = type;
  step.params = params;
  DecodeParams& p = step.params;
  p.groups = m.rows * m.columns / group_columns + (m.rows * m.columns % group_columns != 0);
  const uint64_t units = group_columns / kPackUnit;
  // Only of four bits a load makes so few values that it is worth while to know of pairs.
  const bool nibbles = m.root.bits == 4 && (way == DecodeKernel::kNibbles || way == DecodeKernel::kWideNibbles);
  step.grouping = units == 0 ? Grouping::kHalfUnits : units % 2 == 0 && nibbles ? Grouping::kPairs : Grouping::kUnits;
  p.tile_units = TileUnits(group_columns);
  const uint64_t counted = std::clamp<uint64_t>(units, 1, 64);
  p.group_step = static_cast<uint32_t>((65536 + counted - 1) / counted);
  p.group_units = Divider::By(std::max<uint64_t>(units, 1));
  step.grid = BlocksFor((p.end - p.first) / (kPackUnit * p.tile_units) * kWarp, multiprocessors);
  AddCodebook(step, multiprocessors);
  return step;
}

// The range in up to three parts: DecodeFlat takes whole tiles, if it takes any; DecodeAny the rest.
void PlanDense(const DecodeParams& whole, DType type, uint32_t multiprocessors, std::vector<DecodeStep>& steps) {
  const uint64_t size = InfoOf(type).size, group_columns = FlatGroupColumns(whole.matrix);
  const std::optional<DecodeKernel> way = group_columns == 0 ? std::nullopt : FlatWay(whole.matrix, type);
  const uint64_t tile = TileUnits(group_columns) * kPackUnit;
  const uint64_t begin = (whole.first + tile - 1) / tile * tile, end = whole.end / tile * tile;
  const auto part = [&](uint64_t first, uint64_t last) {
    DecodeParams p = whole;
    p.first = first, p.end = last;
    p.out = static_cast<std::byte*>(whole.out) + (first - whole.first) * size;
    return p;
  };
  const bool aligned = (reinterpret_cast<uintptr_t>(whole.out) + (begin - whole.first) * size) % 16 == 0;
  if (!way || begin >= end || !aligned) {
    steps.push_back(AnyStep(whole, type, multiprocessors));
    return;
  }
  if (begin > whole.first) steps.push_back(AnyStep(part(whole.first, begin), type, multiprocessors));
  steps.push_back(FlatStep(part(begin, end), type, *way, group_columns, multiprocessors));
  if (end < whole.end) steps.push_back(AnyStep(part(end, whole.end), type, multiprocessors));
}

}  // namespace

std::vector<DecodeStep> PlanDecode(const MatrixView& matrix, uint64_t first, uint64_t count, DType type, void* out,
                                   uint32_t multiprocessors) {
  if (count == 0) return {};
  DecodeParams params;
  params.matrix = matrix;
  params.first = first, params.end = first + count;
  params.out = out;
  std::vector<DecodeStep> steps;
  PlanDense(params, type, multiprocessors, steps);
  if (matrix.outliers != kNone) steps.push_back(OutlierStep(params, type, multiprocessors));
  return steps;
}

}  // namespace ingot::cuda

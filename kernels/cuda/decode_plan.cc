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

DecodeStep PieceStep(DecodeKernel kernel, const DecodeParams& params, DType type, uint32_t multiprocessors) {
  const MatrixSlice& slice = params.slice;
  const uint64_t piece = type == DType::kF32 ? 4 : 8;
  const uint64_t row_pieces = (slice.column + slice.columns - 1) / piece - slice.column / piece + 1;
  DecodeStep step;
  step.kernel = kernel;
  step.out = type;
  step.params = params;
  step.params.row_pieces = Divider::By(row_pieces);
  step.grid = BlocksFor(slice.rows * row_pieces, multiprocessors);
  AddCodebook(step, multiprocessors);
  return step;
}

DecodeStep OutlierStep(const DecodeParams& params, DType type, uint32_t multiprocessors) {
  const MatrixView& m = params.matrix;
  DecodeStep step;
  step.kernel = DecodeKernel::kOutliers;
  step.out = type;
  step.params = params;
  // Of unstructured ones nobody knows here how many are in the slice: all of them at most.
  const uint64_t most = m.outliers == kColumns ? params.slice.rows * m.outlier_count : m.outlier_count;
  step.grid = BlocksFor(most, multiprocessors);
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

bool IsGrouped(const MatrixView& m) {
  return std::any_of(std::begin(m.root.operands), std::end(m.root.operands),
                     [](const OperandView& o) { return o.form == kArray || o.form == kNested; });
}

// The group columns that matter: none if no operand has groups. 0: the groups do not suit DecodeFlat.
uint64_t FlatGroupColumns(const MatrixView& m) {
  if (!IsGrouped(m)) return uint64_t{1} << 48;
  const uint64_t columns = m.root.group_columns.divisor;
  if (m.root.group_rows.divisor != 1) return 0;
  return columns == 32 || columns % kPackUnit == 0 ? columns : 0;
}

// At most 32 groups; as many units as a lane's turn takes, or a multiple of that. Of groups that are longer than a
// tile, one or two operands are read for each: where few bytes of codes go with these 32 of a sector, a tile is long.
uint32_t TileUnits(const MatrixView& m, uint64_t group_columns, bool one_row) {
  if (group_columns == 32) return 16;
  if (group_columns == kPackUnit || !one_row) return 32;
  return group_columns < 64 * kPackUnit || !IsGrouped(m) ? 64 : m.root.bits == 1 ? 256 : m.root.bits < 4 ? 128 : 64;
}

DecodeStep FlatStep(const DecodeParams& params, DType type, DecodeKernel way, uint64_t group_columns,
                    uint32_t multiprocessors) {
  DecodeStep step;
  step.kernel = way;
  step.out = type;
  step.params = params;
  DecodeParams& p = step.params;
  const uint64_t units = group_columns / kPackUnit;
  // Only of four bits a load makes so few values that it is worth while to know of pairs.
  const bool nibbles = p.matrix.root.bits == 4 && (way == DecodeKernel::kNibbles || way == DecodeKernel::kWideNibbles);
  step.grouping = units == 0 ? Grouping::kHalfUnits : units % 2 == 0 && nibbles ? Grouping::kPairs : Grouping::kUnits;
  const uint64_t counted = std::clamp<uint64_t>(units, 1, p.tile_units);
  p.group_step = static_cast<uint32_t>(((uint64_t{1} << 20) + counted - 1) / counted);
  p.group_units = Divider::By(std::max<uint64_t>(units, 1));
  p.row_tiles = Divider::By(p.slice.columns / (kPackUnit * p.tile_units));
  step.grid = BlocksFor(p.slice.rows * p.row_tiles.divisor * kWarp, multiprocessors);
  AddCodebook(step, multiprocessors);
  return step;
}

// Rows that lie one right after the other, in `p` and in its output, as one.
bool MakeOneRow(DecodeParams& p) {
  MatrixView& m = p.matrix;
  if (p.slice.rows == 1) return true;
  if (p.slice.columns != m.columns || p.stride != m.columns) return false;
  if (m.raw) {
    if (m.raw_stride != m.columns) return false;
  } else if (m.row_units * kPackUnit != m.columns || FlatGroupColumns(m) == 0 ||
             (IsGrouped(m) && m.columns % m.root.group_columns.divisor != 0)) {
    return false;
  }
  p.slice = {0, 1, p.slice.row * m.columns, p.slice.rows * m.columns};
  m.columns *= m.rows, m.row_units *= m.rows, m.raw_stride *= m.rows, m.root.groups_across *= m.rows, m.rows = 1;
  return true;
}

void PlanRaw(DecodeParams p, DType type, uint32_t multiprocessors, std::vector<DecodeStep>& steps) {
  MakeOneRow(p);
  steps.push_back(PieceStep(DecodeKernel::kRaw, p, type, multiprocessors));
}

// Columns of the slice in up to three parts: DecodeFlat takes whole tiles, if it takes any; DecodeAny the rest.
void PlanDense(const DecodeParams& whole, DType type, uint32_t multiprocessors, std::vector<DecodeStep>& steps) {
  const uint64_t size = InfoOf(type).size, group_columns = FlatGroupColumns(whole.matrix);
  const std::optional<DecodeKernel> way = group_columns == 0 ? std::nullopt : FlatWay(whole.matrix, type);
  DecodeParams p = whole;
  const bool one_row = way && MakeOneRow(p);
  p.tile_units = TileUnits(p.matrix, group_columns, one_row);
  const uint64_t tile = p.tile_units * kPackUnit, first = p.slice.column, last = first + p.slice.columns;
  const uint64_t begin = (first + tile - 1) / tile * tile, end = last / tile * tile;
  const auto part = [&](uint64_t from, uint64_t to) {
    DecodeParams columns = p;
    columns.slice.column = from, columns.slice.columns = to - from;
    columns.out = static_cast<std::byte*>(p.out) + (from - first) * size;
    return columns;
  };
  const bool aligned = (reinterpret_cast<uintptr_t>(p.out) + (begin - first) * size) % 16 == 0 &&
                       (p.slice.rows == 1 || p.stride * size % 16 == 0);
  if (!way || begin >= end || !aligned) {
    steps.push_back(PieceStep(DecodeKernel::kAny, whole, type, multiprocessors));
    return;
  }
  if (begin > first) steps.push_back(PieceStep(DecodeKernel::kAny, part(first, begin), type, multiprocessors));
  steps.push_back(FlatStep(part(begin, end), type, *way, group_columns, multiprocessors));
  if (end < last) steps.push_back(PieceStep(DecodeKernel::kAny, part(end, last), type, multiprocessors));
}

}  // namespace

std::vector<DecodeStep> PlanDecode(const MatrixView& matrix, const MatrixSlice& slice, DType type, void* out,
                                   uint64_t stride, uint32_t multiprocessors) {
  std::vector<DecodeStep> steps;
  if (slice.rows == 0 || slice.columns == 0) return steps;
  DecodeParams params;
  params.matrix = matrix;
  params.slice = slice;
  params.out = out, params.stride = stride;
  if (matrix.raw) {
    PlanRaw(params, type, multiprocessors, steps);
    return steps;
  }
  PlanDense(params, type, multiprocessors, steps);
  if (matrix.outliers != kNone) steps.push_back(OutlierStep(params, type, multiprocessors));
  return steps;
}

std::vector<DecodeStep> PlanDecode(const MatrixView& matrix, uint64_t first, uint64_t count, DType type, void* out,
                                   uint32_t multiprocessors) {
  std::vector<DecodeStep> steps;
  const uint64_t columns = matrix.columns;
  for (uint64_t done = 0; done < count;) {
    const uint64_t row = (first + done) / columns, column = (first + done) % columns, left = count - done;
    MatrixSlice slice = {row, 1, column, std::min(left, columns - column)};  // of a row, or whole rows
    if (column == 0 && left >= columns) slice.rows = left / columns;
    void* const to = static_cast<std::byte*>(out) + done * InfoOf(type).size;
    const std::vector<DecodeStep> more = PlanDecode(matrix, slice, type, to, columns, multiprocessors);
    steps.insert(steps.end(), more.begin(), more.end());
    done += slice.rows * slice.columns;
  }
  return steps;
}

}  // namespace ingot::cuda

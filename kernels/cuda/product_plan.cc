#include "kernels/cuda/product_plan.h"

#include <algorithm>
#include <numeric>

#include "format/checked.h"
#include "format/packing.h"

namespace ingot::cuda {
namespace {

constexpr uint64_t kMostColumns = uint64_t{1} << 28;
constexpr uint32_t kMostTiles = 4;
constexpr uint32_t kLeastStages = 8;  // of a slice
constexpr uint32_t kPaddedTo = 4;     // units of arranged activations

// Memory for what one kernel leaves to the next.
class Scratch {
 public:
  explicit Scratch(void* base) : base_(reinterpret_cast<uintptr_t>(base)) {}
  template <class T>
  T* Take(uint64_t bytes) {
    const uint64_t at = used_;
    used_ += CeilDiv(bytes, uint64_t{256}) * 256;
    most_ = std::max(most_, used_);
    return reinterpret_cast<T*>(base_ + at);
  }
  uint64_t used() const { return used_; }
  void GoBack(uint64_t used) { used_ = used; }
  uint64_t most() const { return most_; }

 private:
  uintptr_t base_;
  uint64_t used_ = 0, most_ = 0;
};

uint64_t BytesOf(Arrangement arrangement) {
  return arrangement == Arrangement::kF32 ? 4 : arrangement == Arrangement::kInt8 ? 1 : 2;
}

// As Tiles has them.
uint32_t UnitsOfStage(const ProductStep& step) {
  if (step.bits == 16) return 1;
  return step.bits < 4 || (step.bits == 4 && step.tiles == 1 && !step.book) ? 4 : 2;
}

// `bytes` further. Addresses are numbers here: whoever asks for scratch has no memory yet, and null ones.
template <class T>
T* Moved(T* at, uint64_t bytes) {
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(at) + bytes);
}

uint32_t TilesOf(uint32_t x_rows) { return x_rows <= 8 ? 1 : x_rows <= 16 ? 2 : 4; }

uint32_t SharedBytes(const ProductStep& step, uint32_t x_rows) {
  const auto bits = static_cast<uint32_t>(step.bits);
  const uint32_t x = static_cast<uint32_t>(64 * BytesOf(step.arrangement)) * x_rows;
  const uint32_t stage = UnitsOfStage(step) * (kBlockRows * 8 * bits + x);
  return kStages * stage + kChunkGroups * (kOperandStride * 8 + 32 * step.tiles) + (step.book ? 256 * kWarp * 4 : 0);
}

// What has instantiations of its own (product_tiles_kernels.cuh).
Groups GroupsOf(const ProductStep& step) {
  const ProductParams& p = step.product;
  if (step.arrangement != Arrangement::kF16 || step.book || p.x_rows > 1 || step.bits == 16) return Groups::kAny;
  if (p.half_units) return Groups::kHalves;
  if (p.window.groups == 1) return Groups::kRow;
  return p.group_units == 1 ? Groups::kUnits : p.group_units == 2 ? Groups::kPairs : Groups::kAny;
}

uint64_t GroupColumns(const MatrixView& m) { return m.root.group_columns.divisor; }
bool WholeRow(const MatrixView& m) { return GroupColumns(m) >= m.columns; }

Window WindowOf(const MatrixView& m, const MatrixSlice& slice) {
  const bool permuted = m.stored_column != nullptr;
  const uint64_t column = permuted ? 0 : slice.column, end = permuted ? m.columns : slice.column + slice.columns;
  Window w;
  w.unit = column / kPackUnit, w.units = CeilDiv(end, uint64_t{kPackUnit}) - w.unit;
  w.group = column / GroupColumns(m);
  w.groups = end == column ? 0 : (end - 1) / GroupColumns(m) + 1 - w.group;
  w.columns = end - column;
  return w;
}

class Planner {
 public:
  Planner(const MatrixView& m, const ProductRequest& r, const DeviceLimits& limits)
      : m_(m), r_(r), limits_(limits), scratch_(r.scratch), window_(WindowOf(m, r.slice)) {}

  void Plan();
  std::vector<ProductStep> steps;
  uint64_t scratch_bytes() const { return scratch_.most(); }

 private:
  bool Grouped() const;
  bool RawOnTensorCores(Arrangement arrangement) const;
  bool OnTensorCores(Arrangement arrangement) const;
  Arrangement Choose() const;
  uint32_t RowsAtOnce(Arrangement arrangement) const;
  ProductStep& Add(ProductKernel kernel, uint64_t work_items, uint64_t of_a_block);
  ArrangeParams Arranging(uint64_t first, uint32_t rows);
  ProductParams Multiplying(uint64_t first, const ArrangeParams& x) const;
  void FindLarge();
  void AddArrange(const ArrangeParams& x);
  void MultiplyAny();
  void MultiplyTiles(uint64_t first, uint32_t rows);
  void Slice(ProductStep& step) const;

  const MatrixView& m_;
  const ProductRequest& r_;
  const DeviceLimits& limits_;
  Scratch scratch_;
  const Window window_;
  Arrangement arrangement_ = Arrangement::kF32;
  bool pairs_ = false;
  uint32_t *large_ = nullptr, *list_ = nullptr;
};

// Groups that a unit's halves do not cut, and a slice that begins with one.
bool Planner::Grouped() const {
  const uint64_t first = window_.unit * kPackUnit, end = r_.slice.column + r_.slice.columns;
  if (m_.stored_column == nullptr && first != r_.slice.column) return false;
  if (WholeRow(m_)) return true;
  if (GroupColumns(m_) == 32) return end % kPackUnit == 0 || end == m_.columns || m_.stored_column != nullptr;
  return GroupColumns(m_) % kPackUnit == 0 && first % GroupColumns(m_) == 0;
}

// Raw weights of the type of the activations, in rows that copies of 16 bytes can begin with.
bool Planner::RawOnTensorCores(Arrangement arrangement) const {
  const bool type = (arrangement == Arrangement::kF16 && m_.raw_type == kF16) ||
                    (arrangement == Arrangement::kBF16 && m_.raw_type == kBF16 && limits_.architecture >= 80);
  const bool aligned = reinterpret_cast<uintptr_t>(m_.root.codes[0]) % 16 == 0 && m_.raw_stride % 8 == 0;
  return type && aligned && r_.slice.column % kPackUnit == 0 && r_.slice.columns % 8 == 0;
}

bool Planner::OnTensorCores(Arrangement arrangement) const {
  if (window_.columns == 0 || window_.columns > kMostColumns) return false;
  if (m_.raw) return RawOnTensorCores(arrangement) && RowsAtOnce(arrangement) > 0;
  const int bits = m_.root.bits;
  const bool width =
      bits == 2 || bits == 4 || bits == 8 || (bits == 3 && m_.row_units % 2 == 0 && window_.unit % 2 == 0);
  if (!width || !Grouped()) return false;
  if (arrangement == Arrangement::kInt8 && m_.root.codebook != nullptr) return false;
  if (arrangement == Arrangement::kBF16 && limits_.architecture < 80) return false;
  return RowsAtOnce(arrangement) > (m_.t.form == kArray ? 1 : 0);
}

Arrangement Planner::Choose() const {
  if (r_.precision != ProductPrecision::kNative && OnTensorCores(Arrangement::kInt8)) return Arrangement::kInt8;
  if (r_.x_type == DType::kF16 && OnTensorCores(Arrangement::kF16)) return Arrangement::kF16;
  if (r_.x_type == DType::kBF16 && OnTensorCores(Arrangement::kBF16)) return Arrangement::kBF16;
  return Arrangement::kF32;
}

ProductStep& Planner::Add(ProductKernel kernel, uint64_t work_items, uint64_t of_a_block) {
  ProductStep step;
  step.kernel = kernel;
  step.arrangement = arrangement_;
  step.bits = m_.root.bits;
  step.book = m_.root.codebook != nullptr;
  step.grid = static_cast<uint32_t>(std::max<uint64_t>(1, CeilDiv(work_items, of_a_block)));
  steps.push_back(step);
  return steps.back();
}

ArrangeParams Planner::Arranging(uint64_t first, uint32_t rows) {
  ArrangeParams p;
  p.matrix = m_, p.slice = r_.slice, p.window = window_;
  p.x_type = static_cast<Type>(r_.x_type);
  p.x = Moved(r_.x, first * r_.x_stride * InfoOf(r_.x_type).size);
  p.x_stride = r_.x_stride, p.x_rows = rows;
  p.arrangement = arrangement_;
  p.crossed = arrangement_ != Arrangement::kInt8 && m_.root.bits < 8;
  p.pairs = pairs_;
  p.out_rows = pairs_ ? 2 * rows : rows;
  p.padded_units = CeilDiv(window_.units, uint64_t{kPaddedTo}) * kPaddedTo;
  p.out = scratch_.Take<void>(p.out_rows * p.padded_units * 64 * BytesOf(arrangement_));
  p.sums = scratch_.Take<float>(window_.groups * p.out_rows * sizeof(float));
  p.scales = scratch_.Take<float>(rows * sizeof(float));
  p.large = large_;
  p.threshold = r_.precision == ProductPrecision::kLlmInt8 ? r_.threshold : 0.0f;
  return p;
}

ProductParams Planner::Multiplying(uint64_t first, const ArrangeParams& x) const {
  ProductParams p;
  p.matrix = m_, p.slice = r_.slice, p.window = window_;
  p.x = x.out, p.x_sums = x.sums, p.x_scales = x.scales;
  p.x_rows = x.out_rows, p.pairs = pairs_;
  p.plain_x = x.x, p.plain_type = x.x_type, p.plain_stride = x.x_stride;
  p.large = x.threshold > 0 ? list_ : nullptr;
  p.y = Moved(r_.y, first * r_.y_stride * sizeof(float)), p.y_stride = r_.y_stride;
  p.add = r_.add;
  return p;
}

// The columns with a large value in any row of X, once for all of it.
void Planner::FindLarge() {
  large_ = scratch_.Take<uint32_t>(r_.slice.columns * 4);
  list_ = scratch_.Take<uint32_t>((r_.slice.columns + 1) * 4);
  const uint64_t used = scratch_.used();
  ArrangeParams p = Arranging(0, 1);
  scratch_.GoBack(used);
  p.x_rows = static_cast<uint32_t>(r_.x_rows);
  p.list = list_;
  Add(ProductKernel::kFindLarge, r_.slice.columns, kProductThreads).arrange = p;
  if (p.threshold <= 0) return;
  ProductStep& list = Add(ProductKernel::kListLarge, 1, 1);
  list.block = kWarp;
  list.arrange = p;
}

void Planner::AddArrange(const ArrangeParams& x) {
  if (arrangement_ == Arrangement::kInt8) Add(ProductKernel::kFindScales, x.x_rows, kSparseRows).arrange = x;
  const uint64_t values = x.padded_units * 64 * x.x_rows, sums = window_.groups * x.out_rows;
  const uint64_t most = uint64_t{limits_.multiprocessors} * 16;
  Add(ProductKernel::kArrange, std::min(values, most * kProductThreads), kProductThreads).arrange = x;
  if (arrangement_ != Arrangement::kF32)
    Add(ProductKernel::kSumGroups, std::min(sums, most * kSparseRows), kSparseRows).arrange = x;
}

void Planner::MultiplyAny() {
  constexpr uint64_t kAtOnce = 256;
  const uint64_t used = scratch_.used();
  for (uint64_t first = 0; first < r_.x_rows; first += kAtOnce) {
    scratch_.GoBack(used);
    const ArrangeParams x = Arranging(first, static_cast<uint32_t>(std::min(kAtOnce, r_.x_rows - first)));
    AddArrange(x);
    Add(ProductKernel::kAny, r_.slice.rows, kSparseRows).product = Multiplying(first, x);
  }
}

// Slices of the columns, so many that the device is full; whole chunks of groups where they can be.
void Planner::Slice(ProductStep& step) const {
  ProductParams& p = step.product;
  const uint64_t units = UnitsOfStage(step), stages = CeilDiv(window_.units, units);
  const uint64_t wanted = CeilDiv(uint64_t{2} * limits_.multiprocessors, uint64_t{p.row_blocks});
  const uint64_t slices = std::clamp<uint64_t>(wanted, 1, std::max<uint64_t>(1, stages / kLeastStages));
  uint64_t slice = CeilDiv(stages, slices) * units;
  const uint64_t group = std::lcm(units, uint64_t{p.group_units});
  const uint64_t chunk = p.half_units ? kChunkGroups / 2 : std::lcm(units, uint64_t{p.group_units} * kChunkGroups);
  const uint64_t whole = chunk <= slice ? chunk : group <= slice ? group : units;
  slice = CeilDiv(slice, whole) * whole;
  // A slice's sums of bytes stay below 2^31.
  if (step.arrangement == Arrangement::kInt8) slice = std::min<uint64_t>(slice, 512);
  p.slice_units = static_cast<uint32_t>(slice);
  p.slices = static_cast<uint32_t>(CeilDiv(window_.units, slice));
}

void Planner::MultiplyTiles(uint64_t first, uint32_t rows) {
  const uint64_t used = scratch_.used();
  const ArrangeParams x = Arranging(first, rows);
  AddArrange(x);
  ProductStep& step = Add(ProductKernel::kTiles, 1, 1);
  step.tiles = TilesOf(x.out_rows);
  step.shared_bytes = SharedBytes(step, x.out_rows);
  ProductParams& p = step.product = Multiplying(first, x);
  const bool centred = arrangement_ == Arrangement::kBF16 && m_.root.codebook == nullptr && !m_.raw;
  const OperandView &z = m_.root.operands[kZeroPoint], &o = m_.root.operands[kOffset];
  const bool at_centre = z.form == kConstant && z.constant == static_cast<float>(1 << (m_.root.bits - 1));
  p.shifted = o.form != kAbsent || (centred ? !at_centre : z.form != kAbsent);
  p.half_units = !WholeRow(m_) && GroupColumns(m_) == 32;
  p.group_units = static_cast<uint32_t>(WholeRow(m_) ? window_.units : std::max<uint64_t>(1, GroupColumns(m_) / 64));
  p.row_blocks = static_cast<uint32_t>(CeilDiv(r_.slice.rows, uint64_t{kBlockRows}));
  step.groups = GroupsOf(step);
  p.shifted |= step.groups != Groups::kAny;  // they do not ask
  Slice(step);
  step.grid = p.row_blocks * p.slices;
  p.out = p.y, p.out_stride = p.y_stride;
  if (p.slices > 1 || m_.outliers != kNone || p.large != nullptr) {
    p.out_stride = r_.slice.rows, p.slice_stride = r_.slice.rows * rows;
    p.out = scratch_.Take<float>(p.slices * p.slice_stride * sizeof(float));
    p.add = false;
    ProductParams finish = p;
    finish.add = r_.add;
    Add(ProductKernel::kFinish, r_.slice.rows, kSparseRows).product = finish;
  }
  scratch_.GoBack(used);
}

// Arranged rows of activations that fit into a block's shared memory beside the codes; 0: none.
uint32_t Planner::RowsAtOnce(Arrangement arrangement) const {
  ProductStep step;
  step.arrangement = arrangement, step.bits = m_.root.bits, step.book = m_.root.codebook != nullptr;
  uint32_t fit = 0;
  for (uint32_t rows = 1; rows <= 8 * kMostTiles; rows *= 2) {
    step.tiles = TilesOf(rows);
    if (SharedBytes(step, rows) > limits_.shared_bytes) break;
    fit = rows;
  }
  return fit;
}

void Planner::Plan() {
  if (r_.x_rows == 0 || r_.slice.rows == 0) return;
  arrangement_ = Choose();
  if (arrangement_ == Arrangement::kF32) return MultiplyAny();
  pairs_ = arrangement_ != Arrangement::kInt8 && m_.t.form == kArray;
  if (arrangement_ == Arrangement::kInt8) FindLarge();
  const uint64_t at_once = RowsAtOnce(arrangement_) / (pairs_ ? 2 : 1);
  for (uint64_t first = 0; first < r_.x_rows; first += at_once)
    MultiplyTiles(first, static_cast<uint32_t>(std::min(at_once, r_.x_rows - first)));
}

}  // namespace

std::vector<ProductStep> PlanProduct(const MatrixView& matrix, const ProductRequest& request,
                                     const DeviceLimits& limits) {
  Planner planner(matrix, request, limits);
  planner.Plan();
  return std::move(planner.steps);
}

uint64_t ProductScratchBytes(const MatrixView& matrix, const ProductRequest& request, const DeviceLimits& limits) {
  Planner planner(matrix, request, limits);
  planner.Plan();
  return planner.scratch_bytes();
}

}  // namespace ingot::cuda

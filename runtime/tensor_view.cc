#include "runtime/tensor_view.h"

#include <algorithm>
#include <numeric>

#include "format/checked.h"
#include "format/content_checker.h"
#include "format/packing.h"
#include "runtime/model.h"

namespace ingot {

TensorView::TensorView(PlaneStore& store, uint32_t tensor, ArenaPool* arenas)
    : store_(store),
      arenas_(arenas),
      record_(store.container().index().tensor(tensor)),
      layout_(store.container().index(), record_),
      description_(DescribeTensor(store.container().index(), record_)) {}

std::string TensorView::Name() const {
  return fmt::format("{}: tensor '{}'", store_.container().path(), Escape(record_.name));
}

Result<std::unique_ptr<TensorView>> TensorView::Open(PlaneStore& store, uint32_t tensor, ArenaPool* arenas) {
  std::unique_ptr<TensorView> view(new TensorView(store, tensor, arenas));
  const Index& index = store.container().index();
  view->parts_.reserve(view->record_.part_count);
  for (uint32_t p = 0; p < view->record_.part_count; ++p) {
    const PartRecord part = index.part(view->record_.first_part + p);
    if (auto added = view->AddPart(part, view->layout_.part_columns(p)); !added) return Propagate(added);
  }
  view->SetSliceUnits();
  return view;
}

// The planes of one encoding: what they are and where. Index planes are usable at once, the others are not.
Result<std::vector<ByteSpan>> TensorView::Locate(uint32_t encoding, EncodingPlanes& planes) {
  const Index& index = store_.container().index();
  const EncodingRecord e = index.encoding(encoding);
  planes.first_plane = e.first_plane;
  if (e.is(EncodingKind::kLinear)) {
    planes.linear = DecodeLinear(index.payload(e));
    planes.specs = PlanesOf(planes.linear, planes.nested);
  }
  std::vector<ByteSpan> spans;
  for (uint32_t i = 0; i < e.plane_count; ++i) {
    const bool indices = i < planes.specs.size() && HoldsIndices(planes.specs[i].role);
    const PlaneRecord plane = index.plane(e.first_plane + i);
    auto at = store_.AddressOf(e.first_plane + i, indices);
    if (!at) return Propagate(at);
    spans.emplace_back(*at, plane.size);
    if (plane.framed()) framed_bytes_ += plane.size;
    if (!indices) continue;
    const PlaneRange range = {e.first_plane + i, true, 0, plane.size};
    auto pins = store_.Use({&range, 1});
    if (!pins) return Propagate(pins);
    index_pins_.push_back(std::move(*pins));
  }
  planes.places = spans;
  return spans;
}

Status TensorView::AddPart(const PartRecord& record, uint64_t columns) {
  const uint32_t encoding = record.encoding;
  const EncodingRecord e = store_.container().index().encoding(encoding);
  Part part;
  part.encoding = encoding;
  part.extent = record.extent;
  part.raw = e.is(EncodingKind::kRaw);
  part.linear = e.is(EncodingKind::kLinear);
  raw_ = raw_ && part.raw;
  std::vector<EncodedMatrix> children;
  for (uint32_t c = encoding - e.child_count; c < encoding; ++c) {
    EncodingPlanes planes;
    planes.nested = true;
    auto spans = Locate(c, planes);
    if (!spans) return Propagate(spans);
    if (part.linear) children.push_back(EncodedMatrix::Make(planes.linear, true, *spans, {}));
    part.children.push_back(std::move(planes));
  }
  auto spans = Locate(encoding, part.own);
  if (!spans) return Propagate(spans);
  if (part.raw && !spans->empty()) part.elements = spans->front().data();
  if (part.linear) {
    if (auto checked = CheckIndices(part); !checked) return checked;
    part.matrix = EncodedMatrix::Make(part.own.linear, false, *spans, std::move(children));
    part.aligned = part.own.linear.cols == columns;
    permuted_ = permuted_ || part.own.linear.permutation;
  }
  parts_.push_back(std::move(part));
  return {};
}

// The content rules that decoding relies on, on the private copy: permutation and outlier planes.
Status TensorView::CheckIndices(const Part& part) {
  const Linear& l = part.own.linear;
  if (!l.permutation && l.outliers == OutlierForm::kNone) return {};
  const Index& index = store_.container().index();
  const uint32_t first = part.own.first_plane;
  const ChunkWalk walk = [&](uint32_t plane, const std::function<bool(ByteSpan)>& use) {
    // Nested encodings have no such planes.
    if (plane < first || plane - first >= part.own.specs.size() || !HoldsIndices(part.own.specs[plane - first].role))
      return true;
    const std::byte* at = *store_.AddressOf(plane, true);
    const PlaneRecord record = index.plane(plane);
    for (uint64_t chunk = 0; chunk < record.chunk_count(); ++chunk) {
      if (!use({at + chunk * kChunkSize, record.chunk_size(chunk)})) break;
    }
    return true;
  };
  Report report(1);
  CheckContent(index, part.encoding, fmt::format("tensor '{}'", Escape(record_.name)), walk, report);
  for (const Violation& v : report.violations())
    return Fail(ErrorCode::kBadInput, "{}", TextOf(store_.container().path(), v));
  return {};
}

Status TensorView::CanRead() const {
  for (const Part& part : parts_) {
    if (part.linear || part.raw) continue;
    return Fail(ErrorCode::kUnsupported, "{}: cannot be decoded: its encoding is {}", Name(),
                DescribeEncoding(store_.container().index(), part.encoding, record_.dtype));
  }
  return {};
}

Status TensorView::CanDecode() const {
  if (auto known = CanRead(); !known) return known;
  const bool some_raw = std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.raw; });
  if (!some_raw || InfoOf(dtype()).is_float) return {};
  return Fail(ErrorCode::kUnsupported, "{}: cannot be decoded: {} has no values in f32", Name(), InfoOf(dtype()).name);
}

Status TensorView::Hold() {
  auto pins = Use(whole(), false);
  if (!pins) return Propagate(pins);
  all_pins_ = std::move(*pins);
  return {};
}

// The slice unit of one part as a matrix of `rows` by `columns` (spec/ENCODINGS.md, section 5).
MatrixSlice TensorView::UnitOf(const Part& part, uint64_t rows, uint64_t columns) const {
  if (part.raw) return {0, 1, 0, 1};
  if (!part.linear) return {0, rows, 0, columns};
  const Linear& l = part.own.linear;
  const auto unit = CheckedMul(kPackUnit / std::gcd(kPackUnit, l.group_cols), l.group_cols);  // lcm(64, GC)
  const uint64_t across = unit ? *unit : l.cols;
  if (part.aligned) {
    const bool whole = l.permutation || across >= columns;
    return {0, std::min(l.group_rows, rows), 0, whole ? columns : across};
  }
  if (l.permutation) return {0, rows, 0, columns};
  if (l.rows == 1) return {0, std::min(rows, across / std::gcd(across, columns)), 0, columns};
  if (l.cols % columns == 0) {  // a row of the view is several rows of the tensor
    const auto tall = CheckedMul(l.cols / columns, l.group_rows);
    return {0, tall ? std::min(*tall, rows) : rows, 0, columns};
  }
  return {0, rows, 0, columns};
}

// The least common multiple of the parts' units, where all parts begin at multiples of it; else everything.
void TensorView::SetSliceUnits() {
  slice_rows_ = slice_columns_ = 1;
  const auto join = [](uint64_t a, uint64_t b, uint64_t most) {
    if (a == 0 || b == 0) return most;
    const auto both = CheckedMul(a / std::gcd(a, b), b);
    return both && *both < most ? *both : most;
  };
  for (size_t p = 0; p < parts_.size(); ++p) {
    const MatrixSlice unit = UnitOf(parts_[p], layout_.part_rows(p), layout_.part_columns(p));
    slice_rows_ = join(slice_rows_, unit.rows, layout_.rows());
    slice_columns_ = join(slice_columns_, unit.columns, layout_.columns());
  }
  for (size_t p = 0; p < parts_.size(); ++p) {
    if (slice_rows_ != 0 && layout_.first_row(p) % slice_rows_ != 0) slice_rows_ = layout_.rows();
    if (slice_columns_ != 0 && layout_.first_column(p) % slice_columns_ != 0) slice_columns_ = layout_.columns();
  }
}

Result<ByteSpan> TensorView::Plane(uint32_t part, uint32_t child, uint32_t plane) const {
  const Part& p = parts_[part];
  const EncodingPlanes& planes = child == 0 ? p.own : p.children[child - 1];
  const uint32_t number = planes.first_plane + plane;
  const bool indices = plane < planes.specs.size() && HoldsIndices(planes.specs[plane].role);
  const uint64_t size = store_.container().index().plane(number).size;
  auto at = store_.AddressOf(number, indices);
  if (!at) return Propagate(at);
  const std::lock_guard lock(mutex_);
  if (std::find(pinned_planes_.begin(), pinned_planes_.end(), number) == pinned_planes_.end()) {
    const PlaneRange range = {number, indices, 0, size};
    auto pins = store_.Use({&range, 1});
    if (!pins) return Propagate(pins);
    plane_pins_.push_back(std::move(*pins));
    pinned_planes_.push_back(number);
  }
  return ByteSpan(*at, size);
}

}  // namespace ingot

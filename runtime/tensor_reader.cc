#include "runtime/tensor_reader.h"

#include <algorithm>

namespace ingot {

Result<TensorReader> TensorReader::Open(const Model& model, uint32_t i) {
  const Model::TensorId id = model.id(i);
  TensorReader reader;
  reader.container_ = model.containers()[id.container];
  const TensorRecord record = model.tensor(i);
  constexpr uint64_t kWorthHugePages = 8 << 20;
  PlaneStore::Options options;
  options.map = false;
  options.huge_pages = PlaneBytesOf(reader.container_->index(), record) >= kWorthHugePages;
  reader.cache_ = std::make_unique<ChunkCache>(UINT64_MAX);
  auto store = PlaneStore::Open(reader.container_, options, *reader.cache_, nullptr);
  if (!store) return Propagate(store);
  reader.store_ = std::move(*store);
  auto view = TensorView::Open(*reader.store_, id.tensor, nullptr);
  if (!view) return Propagate(view);
  if (auto known = (*view)->CanRead(); !known) return Propagate(known);
  if (auto held = (*view)->Hold(); !held) return Propagate(held);
  reader.view_ = std::move(*view);
  reader.shape_ = record.shape();
  reader.element_count_ = ElementCount(record);
  return reader;
}

template <typename Use>
Status TensorReader::ForSlices(uint64_t first, uint64_t count, Use&& use) const {
  const uint64_t columns = view_->whole().columns;
  for (uint64_t done = 0; done < count;) {
    const uint64_t row = (first + done) / columns, column = (first + done) % columns, left = count - done;
    MatrixSlice slice = {row, 1, column, std::min(left, columns - column)};
    if (column == 0 && left >= columns) slice.rows = left / columns;  // whole rows
    if (auto used = use(slice, done); !used) return used;
    done += slice.rows * slice.columns;
  }
  return {};
}

Status TensorReader::Decode(uint64_t first, uint64_t count, float* out) const {
  if (auto can = view_->CanDecode(); !can) return can;
  return ForSlices(first, count, [&](const MatrixSlice& slice, uint64_t at) {
    return view_->Decode(slice, DType::kF32, out + at, slice.columns);
  });
}

Status TensorReader::ReadRaw(uint64_t first, uint64_t count, std::byte* out) const {
  const uint64_t size = InfoOf(dtype()).size;
  if (count == 0) return view_->Read({}, out, 0);
  return ForSlices(first, count, [&](const MatrixSlice& slice, uint64_t at) {
    return view_->Read(slice, out + at * size, slice.columns);
  });
}

}  // namespace ingot

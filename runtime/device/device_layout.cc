#include "runtime/device/device_layout.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "format/checked.h"

namespace ingot {
namespace {

// Two blocks of a plane become one run of bytes that has both.
PlaneBlock Join(const PlaneBlock& a, const PlaneBlock& b) {
  if (a.size == 0) return b;
  const uint64_t first = std::min(a.offset, b.offset);
  return {a.plane, first, std::max(a.end(), b.end()) - first};
}

// From `first` on `count`, widened to multiples of `unit`, at most up to `limit`.
void Widen(uint64_t& first, uint64_t& count, uint64_t unit, uint64_t limit) {
  if (unit == 0 || count == 0) return;
  const uint64_t end = first + count, left = end % unit == 0 ? 0 : unit - end % unit;
  first -= first % unit;
  count = (limit - end < left ? limit : end + left) - first;
}

MatrixSlice Widened(const TensorView& view, MatrixSlice slice) {
  Widen(slice.column, slice.columns, view.slice_columns(), view.whole().columns);
  const auto& parts = view.parts();
  const auto other = [](const TensorView::Part& part) { return part.linear && !part.aligned; };
  if (std::any_of(parts.begin(), parts.end(), other))
    Widen(slice.row, slice.rows, view.slice_rows(), view.whole().rows);
  return slice;
}

class Maker {
 public:
  Maker(const TensorView& view, const MatrixSlice& slice) : view_(view) {
    view.ForBlocks(slice, [&](const PlaneBlock& block) {
      PlaneBlock& known = blocks_[block.plane];
      known = Join(known, block);
    });
    view.layout().ForPieces(slice, [&](const PartLayout::Piece& piece) { used_.push_back(piece.part); });
  }

  std::vector<PartWindows> Windows() {
    std::vector<PartWindows> out;
    for (uint32_t p = 0; p < view_.parts().size(); ++p) {
      const TensorView::Part& part = view_.parts()[p];
      PartWindows windows;
      windows.used = std::find(used_.begin(), used_.end(), p) != used_.end();
      windows.own = WindowsOf(part.own, windows.used);
      for (const EncodingPlanes& child : part.children) windows.children.push_back(WindowsOf(child, windows.used));
      const ByteSpan inverse = std::as_bytes(std::span(part.matrix.stored_column));
      windows.stored_column.block.plane = kNoRecord;
      if (windows.used && !inverse.empty()) windows.stored_column = Whole(kNoRecord, inverse.size(), inverse.data());
      out.push_back(std::move(windows));
    }
    return out;
  }

 private:
  static PlaneWindow Whole(uint32_t plane, uint64_t size, const std::byte* checked) {
    PlaneWindow window;
    window.block = {plane, 0, size};
    window.plane_size = size;
    window.checked = checked;
    return window;
  }

  std::vector<PlaneWindow> WindowsOf(const EncodingPlanes& planes, bool used) const {
    std::vector<PlaneWindow> windows;
    for (uint32_t i = 0; i < planes.places.size(); ++i) {
      const uint32_t number = planes.first_plane + i;
      const ByteSpan place = planes.places[i];
      PlaneWindow window;
      window.block.plane = number;
      window.plane_size = place.size();
      if (const auto found = blocks_.find(number); found != blocks_.end()) window.block = found->second;
      if (used && i < planes.specs.size() && HoldsIndices(planes.specs[i].role))
        window = Whole(number, place.size(), place.data());
      windows.push_back(window);
    }
    return windows;
  }

  const TensorView& view_;
  std::unordered_map<uint32_t, PlaneBlock> blocks_;
  std::vector<uint32_t> used_;
};

// Puts a window behind `size` bytes, so that the plane's own beginning would be aligned; nothing on overflow.
std::optional<uint64_t> Put(PlaneWindow& window, uint64_t size) {
  if (window.empty()) return size;
  const auto begin = CheckedAlign(size, kDeviceAlignment);
  if (!begin) return std::nullopt;
  const auto place = CheckedAdd(*begin, window.shift() % kDeviceAlignment);
  if (!place) return std::nullopt;
  window.place = *place;
  return CheckedAdd(*place, window.size());
}

}  // namespace

Result<DeviceLayout> DeviceLayout::Make(const TensorView& view, const MatrixSlice& slice) {
  DeviceLayout layout;
  layout.parts_ = Maker(view, Widened(view, slice)).Windows();
  std::optional<uint64_t> size = 0;
  const auto put = [&](PlaneWindow& window) {
    if (size) size = Put(window, *size);
    layout.bytes_ += window.size();
  };
  for (PartWindows& part : layout.parts_) {
    std::for_each(part.own.begin(), part.own.end(), put);
    for (auto& child : part.children) std::for_each(child.begin(), child.end(), put);
    put(part.stored_column);
  }
  if (!size) return Fail(ErrorCode::kBadInput, "{}: its planes do not fit into 64 bits", view.Name());
  layout.size_ = *size;
  return layout;
}

void ForCopies(const PlaneWindow& window, uint64_t offset, uint64_t size,
               const std::function<void(const WindowCopy&)>& emit) {
  const PlaneBlock& b = window.block;
  // Bytes [begin, end) of row `row` of the window, as far as [offset, offset + size) has them; `rows` rows like it.
  const auto copy = [&](uint64_t row, uint64_t begin, uint64_t end, uint64_t rows) {
    if (begin >= end) return;
    WindowCopy c;
    c.to = window.place + row * b.size + begin;
    c.from = b.offset + row * b.pitch + begin - offset;
    c.size = end - begin, c.rows = rows;
    c.to_pitch = b.size, c.from_pitch = b.pitch;
    emit(c);
  };
  // The bytes of row `row` that are there.
  const auto part_of = [&](uint64_t row) {
    const uint64_t start = b.offset + row * b.pitch;
    const uint64_t begin = std::clamp(offset, start, start + b.size) - start;
    return std::pair(begin, std::clamp(offset + size, start + begin, start + b.size) - start);
  };
  if (window.empty() || size == 0) return;
  if (b.rows == 1) {
    const auto [begin, end] = part_of(0);
    copy(0, begin, end, 1);
    return;
  }
  // Rows that begin before offset + size and do not end before offset.
  const uint64_t first = offset <= b.offset ? 0 : (offset - b.offset) / b.pitch;
  if (offset + size <= b.offset || first >= b.rows) return;
  const uint64_t last = std::min((offset + size - 1 - b.offset) / b.pitch, b.rows - 1);
  const auto [head_begin, head_end] = part_of(first);
  if (first == last) {
    copy(first, head_begin, head_end, 1);
    return;
  }
  const auto [tail_begin, tail_end] = part_of(last);
  const bool head_whole = head_end - head_begin == b.size, tail_whole = tail_end - tail_begin == b.size;
  if (!head_whole) copy(first, head_begin, head_end, 1);
  const uint64_t from_row = first + (head_whole ? 0 : 1), to_row = last + (tail_whole ? 1 : 0);
  if (to_row > from_row) copy(from_row, 0, b.size, to_row - from_row);
  if (!tail_whole) copy(last, tail_begin, tail_end, 1);
}

}  // namespace ingot

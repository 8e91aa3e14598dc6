// What is done with slices of a tensor: decode, read, multiply, verify, prefetch.
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cstring>

#include "format/checked.h"
#include "kernels/decode.h"
#include "kernels/widen.h"
#include "runtime/tensor_view.h"

namespace ingot {
namespace {

constexpr uint64_t kSerial = 1 << 15;   // elements that are decoded faster than threads are woken
constexpr uint64_t kBlock = 1 << 17;    // elements that a task decodes at a time
constexpr uint64_t kStream = 8 << 20;   // bytes of output that are more than a cache's worth
constexpr uint64_t kWindow = 64 << 20;  // bytes of compressed planes that are in memory at a time

// Raw elements to f32, f16 or bf16, one rounding.
void ConvertRaw(DType from, const std::byte* in, uint64_t count, DType to, std::byte* out) {
  if (from == to) {
    std::memcpy(out, in, count * InfoOf(to).size);
  } else if (to == DType::kF32) {
    WidenToF32(from, in, count, reinterpret_cast<float*>(out));
  } else if (from == DType::kF64) {
    NarrowFromF64(to, in, count, out);
  } else {
    std::array<float, 1024> piece;
    for (uint64_t at = 0; at < count; at += piece.size()) {
      const uint64_t n = std::min<uint64_t>(piece.size(), count - at);
      WidenToF32(from, in + at * InfoOf(from).size, n, piece.data());
      NarrowFromF32(to, piece.data(), n, out + at * InfoOf(to).size);
    }
  }
}

// Calls run(first element, count, element of the output) for the rows of a rectangle, those that lie one after the
// other on both sides at once.
template <typename Run>
void ForRuns(const MatrixSlice& slice, uint64_t columns, uint64_t stride, Run&& run) {
  if (slice.columns == columns && (stride == columns || slice.rows == 1)) {
    run(slice.row * columns, slice.rows * columns, 0);
    return;
  }
  for (uint64_t r = 0; r < slice.rows; ++r) run((slice.row + r) * columns + slice.column, slice.columns, r * stride);
}

}  // namespace

void TensorView::ForPartBlocks(const PartLayout::Piece& piece, const EmitBlock& emit) const {
  const Part& part = parts_[piece.part];
  const MatrixSlice& in = piece.in_part;
  const uint64_t columns = layout_.part_columns(piece.part);
  const ViewSlice rect = {in.row, in.row + in.rows - 1, in.column, in.column + in.columns, false};
  if (part.raw) {
    const uint64_t size = InfoOf(dtype()).size;
    ForRowBlocks(part.own.first_plane, columns * size, rect, rect.begin * size, rect.end * size, emit);
  } else if (part.linear && part.aligned) {
    ForPlaneBlocks(part.own, part.children, part.matrix, rect, emit);
  } else if (part.linear && (in.columns == columns || in.rows == 1)) {
    const uint64_t first = in.row * columns + in.column;
    ForPlaneBlocks(part.own, part.children, part.matrix,
                   FlatSlice(part.own.linear.cols, first, (in.rows - 1) * columns + in.columns), emit);
  } else if (part.linear) {
    for (uint64_t r = 0; r < in.rows; ++r)
      ForPlaneBlocks(part.own, part.children, part.matrix,
                     FlatSlice(part.own.linear.cols, (in.row + r) * columns + in.column, in.columns), emit);
  } else {  // nothing is known of its planes but their number
    const Index& index = store_.container().index();
    const EncodingRecord root = index.encoding(part.encoding);
    for (uint32_t e = part.encoding - root.child_count; e <= part.encoding; ++e) {
      const EncodingRecord record = index.encoding(e);
      for (uint32_t p = record.first_plane; p < record.first_plane + record.plane_count; ++p)
        emit({p, 0, index.plane(p).size});
    }
  }
}

void TensorView::ForBlocks(const MatrixSlice& slice, const EmitBlock& emit) const {
  layout_.ForPieces(slice, [&](const PartLayout::Piece& piece) { ForPartBlocks(piece, emit); });
}

void TensorView::ForRanges(const MatrixSlice& slice, const EmitRange& emit) const {
  ForBlocks(slice, [&](const PlaneBlock& block) { ForRangesOf(block, emit); });
}

Result<ChunkPins> TensorView::Use(const MatrixSlice& slice, bool always) const {
  if (!always) {
    bool ready = true;
    if (!all_pins_) ForRanges(slice, [&](const PlaneRange& range) { ready = ready && store_.Ready(range); });
    if (ready) return ChunkPins();
  }
  std::vector<PlaneRange> ranges;
  ForRanges(slice, [&](const PlaneRange& range) { ranges.push_back(range); });
  return store_.Use(ranges, always);
}

Status TensorView::InWindows(const MatrixSlice& slice, bool always,
                             const std::function<void(const MatrixSlice&)>& body) const {
  uint64_t rows = slice.rows;
  // A compressed tensor may be larger than memory: a window of it at a time.
  if (framed_bytes_ > kWindow && !all_pins_ && layout_.rows() > 0)
    rows = std::max<uint64_t>(1, kWindow / CeilDiv(framed_bytes_, layout_.rows()));
  for (uint64_t done = 0; done < slice.rows || done == 0; done += rows) {
    const MatrixSlice window = {slice.row + done, std::min(rows, slice.rows - done), slice.column, slice.columns};
    const auto pins = Use(window, always);
    if (!pins) return Propagate(pins);
    body(window);
    if (rows == 0) break;
  }
  return {};
}

void TensorView::DecodeBlock(const MatrixSlice& slice, DType type, std::byte* out, uint64_t stride, bool stream) const {
  const uint64_t size = InfoOf(type).size;
  layout_.ForPieces(slice, [&](const PartLayout::Piece& piece) {
    const Part& part = parts_[piece.part];
    std::byte* to = out + (piece.row * stride + piece.column) * size;
    ForRuns(piece.in_part, layout_.part_columns(piece.part), stride, [&](uint64_t first, uint64_t count, uint64_t at) {
      if (part.linear) {
        DecodeTo(part.matrix, first, count, type, to + at * size, stream);
      } else {
        ConvertRaw(dtype(), part.elements + first * InfoOf(dtype()).size, count, type, to + at * size);
      }
    });
  });
}

// In blocks of whole rows, or of pieces of rows that are longer than a block. A permuted row is decoded as a whole.
void TensorView::DecodeInParallel(const MatrixSlice& slice, DType type, std::byte* out, uint64_t stride,
                                  bool stream) const {
  const uint64_t columns = permuted_ ? slice.columns : std::min(slice.columns, kBlock);
  const uint64_t rows = std::max<uint64_t>(1, kBlock / columns);
  const uint64_t across = CeilDiv(slice.columns, columns), down = CeilDiv(slice.rows, rows);
  tbb::parallel_for(uint64_t{0}, across * down, [&](uint64_t i) {
    const uint64_t row = i / across * rows, column = i % across * columns;
    const MatrixSlice block = {slice.row + row, std::min(rows, slice.rows - row), slice.column + column,
                               std::min(columns, slice.columns - column)};
    DecodeBlock(block, type, out + (row * stride + column) * InfoOf(type).size, stride, stream);
  });
}

Status TensorView::Decode(const MatrixSlice& slice, DType type, void* out, uint64_t stride) const {
  const uint64_t elements = slice.rows * slice.columns, size = InfoOf(type).size;
  const bool stream = elements * size > kStream;
  return InWindows(slice, false, [&](const MatrixSlice& window) {
    std::byte* to = static_cast<std::byte*>(out) + (window.row - slice.row) * stride * size;
    const auto run = [&] { DecodeInParallel(window, type, to, stride, stream); };
    if (elements <= kSerial || arenas_ == nullptr) {
      DecodeBlock(window, type, to, stride, stream);
    } else {
      arenas_->Run(run);
    }
  });
}

Status TensorView::Read(const MatrixSlice& slice, void* out, uint64_t stride) const {
  if (!raw_) return Fail(ErrorCode::kUnsupported, "{}: not a raw tensor: {}", Name(), description_);
  const uint64_t size = InfoOf(dtype()).size;
  return InWindows(slice, false, [&](const MatrixSlice& window) {
    layout_.ForPieces(window, [&](const PartLayout::Piece& piece) {
      const uint64_t row = window.row - slice.row + piece.row;
      std::byte* to = static_cast<std::byte*>(out) + (row * stride + piece.column) * size;
      ForRuns(piece.in_part, layout_.part_columns(piece.part), stride,
              [&](uint64_t first, uint64_t count, uint64_t at) {
                std::memcpy(to + at * size, parts_[piece.part].elements + first * size, count * size);
              });
    });
  });
}

void TensorView::MultiplyPieces(const MatrixSlice& slice, const Product& product) const {
  layout_.ForPieces(slice, [&](const PartLayout::Piece& piece) {
    const Part& part = parts_[piece.part];
    const MatrixSlice& in = piece.in_part;
    const uint64_t columns = layout_.part_columns(piece.part);
    Product own = product;
    own.x += piece.column;
    own.y += piece.row;
    own.add = product.add || piece.column > 0;  // parts side by side: each adds its share
    if (part.raw) {
      MultiplyRaw(part.elements, dtype(), columns, in, own);
    } else if (part.aligned) {
      ingot::Multiply(part.matrix, in, own);
    } else {
      const auto decode = [&](uint64_t first, uint64_t count, float* out) {
        ForRuns({in.row + first, count, in.column, in.columns}, columns, in.columns,
                [&](uint64_t element, uint64_t n, uint64_t at) {
                  DecodeTo(part.matrix, element, n, DType::kF32, out + at);
                });
      };
      MultiplyDecoded(decode, in, own);
    }
  });
}

Status TensorView::Multiply(const MatrixSlice& slice, const Product& product) const {
  if (slice.columns == 0 || product.x_rows == 0) {  // sums of nothing
    for (uint64_t n = 0; n < product.x_rows && !product.add; ++n)
      std::fill_n(product.y + n * product.y_stride, slice.rows, 0.0f);
    return {};
  }
  return InWindows(slice, false, [&](const MatrixSlice& window) {
    Product own = product;
    own.y += window.row - slice.row;
    const auto run = [&] { MultiplyPieces(window, own); };
    if (arenas_ != nullptr) {
      arenas_->Run(run);
    } else {
      run();
    }
  });
}

Status TensorView::Verify(const MatrixSlice& slice) const {
  return InWindows(slice, true, [](const MatrixSlice&) {});
}

void TensorView::Prefetch(const MatrixSlice& slice) const {
  ForRanges(slice, [&](const PlaneRange& range) { store_.Prefetch(range); });
}

}  // namespace ingot

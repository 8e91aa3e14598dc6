// What kernels do with a tensor on a device, part by part.
#include <algorithm>

#include "format/checked.h"
#include "kernels/cuda/decode_plan.h"
#include "runtime/device/device_tensor.h"

namespace ingot {
namespace {

// Rows of a part whose view is not its matrix, decoded to f32 in scratch memory, so many at a time.
struct Panel {
  explicit Panel(const MatrixSlice& in)
      : rows(std::clamp<uint64_t>(kMostBytes / (in.columns * sizeof(float)), 1, in.rows)), columns(in.columns) {}
  uint64_t bytes() const { return CeilDiv(rows * columns * sizeof(float), kDeviceAlignment) * kDeviceAlignment; }
  Result<cuda::MatrixView> View(const std::byte* at) const {
    return cuda::MakeRawView(DType::kF32, rows, columns, columns, at);
  }

  static constexpr uint64_t kMostBytes = 8 << 20;  // but for a row
  uint64_t rows, columns;
};

}  // namespace

Status DeviceTensor::CheckSlice(const MatrixSlice& s) const {
  const uint64_t row = s.row - slice_.row, column = s.column - slice_.column;
  if (s.row >= slice_.row && s.column >= slice_.column && InRange(row, s.rows, slice_.rows) &&
      InRange(column, s.columns, slice_.columns))
    return {};
  return Fail(ErrorCode::kUsage, "{}: rows {} + {}, columns {} + {}; on {} are rows {} + {}, columns {} + {}", label_,
              s.row, s.rows, s.column, s.columns, device_->Name(), slice_.row, slice_.rows, slice_.column,
              slice_.columns);
}

template <typename Body>
Status DeviceTensor::ForParts(const MatrixSlice& slice, Body&& body) const {
  Status status;
  layout_.ForPieces(slice, [&](const PartLayout::Piece& piece) {
    if (status) status = body(piece);
  });
  return status;
}

Status DeviceTensor::DecodePart(const PartLayout::Piece& piece, DType type, std::byte* out, uint64_t stride,
                                DeviceStream stream) const {
  const DevicePart& part = parts_[piece.part];
  const MatrixSlice& in = piece.in_part;
  if (part.aligned) return device_->Decode(*part.view, in, type, out, stride, stream);
  const uint64_t columns = layout_.part_columns(piece.part), size = InfoOf(type).size;
  const bool together = in.columns == columns && (stride == columns || in.rows == 1);
  for (uint64_t r = 0; r < in.rows; r += together ? in.rows : 1) {
    const uint64_t first = (in.row + r) * columns + in.column, count = together ? in.rows * columns : in.columns;
    const Status decoded = device_->DecodeFlat(*part.view, first, count, type, out + r * stride * size, stream);
    if (!decoded) return decoded;
  }
  return {};
}

Status DeviceTensor::Decode(const MatrixSlice& slice, DType type, std::byte* out, uint64_t stride,
                            DeviceStream stream) const {
  if (auto checked = CheckSlice(slice); !checked) return checked;
  if (!can_decode_) return can_decode_;
  return ForParts(slice, [&](const PartLayout::Piece& piece) {
    std::byte* const to = out + (piece.row * stride + piece.column) * InfoOf(type).size;
    return DecodePart(piece, type, to, stride, stream);
  });
}

Status DeviceTensor::MultiplyDecoded(const PartLayout::Piece& piece, const cuda::ProductRequest& request,
                                     DeviceStream stream) const {
  const MatrixSlice& in = piece.in_part;
  const Panel panel(in);
  cuda::ProductRequest own = request;
  own.scratch = static_cast<std::byte*>(request.scratch) + panel.bytes();
  for (uint64_t r = 0; r < in.rows; r += panel.rows) {
    PartLayout::Piece some = piece;
    some.in_part.row += r;
    own.slice = {0, some.in_part.rows = std::min(panel.rows, in.rows - r), 0, in.columns};
    own.y = request.y + r;
    auto* const decoded = static_cast<std::byte*>(request.scratch);
    if (auto done = DecodePart(some, DType::kF32, decoded, in.columns, stream); !done) return done;
    const auto view = panel.View(decoded);
    if (!view) return Propagate(view);
    if (auto done = device_->Multiply(*view, own, stream); !done) return done;
  }
  return {};
}

Status DeviceTensor::Multiply(const MatrixSlice& slice, const cuda::ProductRequest& request,
                              DeviceStream stream) const {
  if (auto checked = CheckSlice(slice); !checked) return checked;
  if (!can_multiply_) return can_multiply_;
  if (request.x_rows == 0 || slice.rows == 0) return {};
  if (slice.columns == 0) {  // sums of nothing
    if (request.add) return {};
    return device_->Clear(reinterpret_cast<std::byte*>(request.y), slice.rows * sizeof(float), request.x_rows,
                          request.y_stride * sizeof(float), stream);
  }
  return ForParts(slice, [&](const PartLayout::Piece& piece) -> Status {
    const DevicePart& part = parts_[piece.part];
    cuda::ProductRequest own = request;
    own.slice = piece.in_part;
    own.x = static_cast<const std::byte*>(request.x) + piece.column * InfoOf(request.x_type).size;
    own.y += piece.row;
    own.add = request.add || piece.column > 0;  // parts side by side: each adds its share
    return part.aligned ? device_->Multiply(*part.view, own, stream) : MultiplyDecoded(piece, own, stream);
  });
}

// Parts are multiplied one after the other: the largest share is enough.
Result<uint64_t> DeviceTensor::ScratchBytes(const MatrixSlice& slice, const cuda::ProductRequest& request) const {
  if (auto checked = CheckSlice(slice); !checked) return Propagate(checked);
  if (!can_multiply_) return Propagate(can_multiply_);
  uint64_t most = 0;
  const Status asked = ForParts(slice, [&](const PartLayout::Piece& piece) -> Status {
    const DevicePart& part = parts_[piece.part];
    cuda::ProductRequest own = request;
    own.slice = piece.in_part;
    uint64_t bytes = 0;
    if (part.aligned) {
      bytes = device_->ScratchBytes(*part.view, own);
    } else {
      const Panel panel(piece.in_part);
      own.slice = {0, panel.rows, 0, piece.in_part.columns};
      const auto view = panel.View(nullptr);
      if (!view) return Propagate(view);
      bytes = panel.bytes() + device_->ScratchBytes(*view, own);
    }
    most = std::max(most, bytes);
    return {};
  });
  if (!asked) return Propagate(asked);
  return most;
}

}  // namespace ingot

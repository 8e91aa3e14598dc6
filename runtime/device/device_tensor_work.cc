// What kernels do with a tensor on a device, part by part.
#include "format/checked.h"
#include "runtime/device/device_tensor.h"

namespace ingot {

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
  const uint64_t columns = layout_.part_columns(piece.part), size = InfoOf(type).size;
  if (in.columns == columns && (stride == columns || in.rows == 1))
    return device_->Decode(*part.view, in.row * columns, in.rows * columns, type, out, stream);
  for (uint64_t r = 0; r < in.rows; ++r) {
    const Status decoded = device_->Decode(*part.view, (in.row + r) * columns + in.column, in.columns, type,
                                           out + r * stride * size, stream);
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

Result<cuda::MatrixView> DeviceTensor::Multiplied(const PartLayout::Piece& piece) const {
  const DevicePart& part = parts_[piece.part];
  const MatrixSlice& in = piece.in_part;
  if (part.aligned && in.rows == part.view->rows && in.columns == part.view->columns) return *part.view;
  return Fail(ErrorCode::kUnsupported, "{}: no product of rows {} + {}, columns {} + {} of part {}", label_, in.row,
              in.rows, in.column, in.columns, piece.part);
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
    const auto view = Multiplied(piece);
    if (!view) return Propagate(view);
    cuda::ProductRequest own = request;
    own.x = static_cast<const std::byte*>(request.x) + piece.column * InfoOf(request.x_type).size;
    own.y += piece.row;
    own.add = request.add || piece.column > 0;  // parts side by side: each adds its share
    return device_->Multiply(*view, own, stream);
  });
}

// Parts are multiplied one after the other: the largest share is enough.
Result<uint64_t> DeviceTensor::ScratchBytes(const MatrixSlice& slice, const cuda::ProductRequest& request) const {
  if (auto checked = CheckSlice(slice); !checked) return Propagate(checked);
  if (!can_multiply_) return Propagate(can_multiply_);
  uint64_t most = 0;
  const Status asked = ForParts(slice, [&](const PartLayout::Piece& piece) -> Status {
    const auto view = Multiplied(piece);
    if (!view) return Propagate(view);
    most = std::max(most, device_->ScratchBytes(*view, request));
    return {};
  });
  if (!asked) return Propagate(asked);
  return most;
}

}  // namespace ingot

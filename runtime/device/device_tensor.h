// A tensor, or a slice of one, on a device: its planes as they are in the file, what kernels need to know of them, and
// the work that kernels do with them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "format/encoding.h"
#include "kernels/cuda/matrix_view.h"
#include "runtime/device/device.h"
#include "runtime/device/device_layout.h"
#include "runtime/part_layout.h"

namespace ingot {

// A plane of which `rows` pieces of `size` bytes lie one after the other at `data`: in the plane, the first one begins
// at byte `offset`, each of the others `pitch` bytes after the one before. All of it: one piece, from 0 on.
struct DevicePlane {
  PlaneRole role = PlaneRole::kRaw;
  const std::byte* data = nullptr;  // NULL: the slice needs nothing of it
  uint64_t offset = 0, size = 0;
  uint64_t rows = 1, pitch = 0;
  uint64_t plane_size = 0;  // in the file
};

struct DevicePart {
  std::vector<DevicePlane> planes;                 // of its encoding, in the order of the file
  std::vector<std::vector<DevicePlane>> children;  // of each nested encoding
  const std::byte* stored_column = nullptr;        // u32 for each logical column, where there is a permutation
  // What kernels take, of a part that the slice has elements of, if it can be decoded. Elements have the numbers that
  // they have in the whole part, rows and columns that are not in the slice must not be asked for. Rows of codes are
  // view->row_units units apart (raw ones view->raw_stride elements), which is less than a row has where the slice is
  // narrower.
  std::optional<cuda::MatrixView> view;
  bool aligned = false;  // the view is the part's matrix
};

// Immutable; thread-safe. Owns its memory, holds the device alive, needs neither file nor model.
//
// Decode and Multiply enqueue work on a stream of the device (null: the default one) and return; the tensor and all
// memory that they are given, which is the device's, must live until it is done. Errors: kUsage for what is not there,
// kUnsupported for what no kernel does, both naming file and tensor; those of Device.
class DeviceTensor {
 public:
  const std::string& name() const { return name_; }    // of the tensor, or of the first one that it is tied to
  const std::string& label() const { return label_; }  // "FILE: tensor 'NAME'", for messages
  const std::shared_ptr<Device>& device() const { return device_; }
  const PartLayout& layout() const { return layout_; }  // of the whole tensor
  const MatrixSlice& slice() const { return slice_; }   // what is there
  const std::vector<DevicePart>& parts() const { return parts_; }
  uint64_t bytes() const { return memory_.size(); }
  const std::byte* memory() const { return memory_.data(); }

  // Whether all that is there can be decoded; multiplied.
  const Status& can_decode() const { return can_decode_; }
  const Status& can_multiply() const { return can_multiply_; }

  // The slice, of the tensor's own rows and columns, to kF32, kF16 or kBF16, with the bits of TensorView::Decode: value
  // (i, j) of it goes to element i * stride + j of `out`, which is aligned to its elements; stride >= slice.columns.
  Status Decode(const MatrixSlice& slice, DType type, std::byte* out, uint64_t stride, DeviceStream stream) const;
  // Y = X W^T with the slice W; request.x are its columns of the activations, request.y its rows of the result, strides
  // at least as large. Bounds of errors: kernels/cuda/product_plan.h.
  Status Multiply(const MatrixSlice& slice, const cuda::ProductRequest& request, DeviceStream stream) const;
  // Bytes of request.scratch that Multiply needs; x, y and scratch are not looked at.
  Result<uint64_t> ScratchBytes(const MatrixSlice& slice, const cuda::ProductRequest& request) const;

  // The layout of `view`, whose planes will be at `memory` before anyone may use them. Checks shapes and indices once
  // more (kBadInput): kernels have no other protection.
  static Result<std::shared_ptr<const DeviceTensor>> Make(const TensorView& view, const MatrixSlice& slice,
                                                          const DeviceLayout& layout, std::shared_ptr<Device> device,
                                                          DeviceMemory memory);

 private:
  DeviceTensor() = default;
  Status CheckSlice(const MatrixSlice& slice) const;
  // body(piece, part) for the parts of a slice, until one fails.
  template <typename Body>
  Status ForParts(const MatrixSlice& slice, Body&& body) const;
  Status DecodePart(const PartLayout::Piece& piece, DType type, std::byte* out, uint64_t stride,
                    DeviceStream stream) const;
  Status MultiplyDecoded(const PartLayout::Piece& piece, const cuda::ProductRequest& request,
                         DeviceStream stream) const;

  std::string name_, label_;
  std::shared_ptr<Device> device_;
  PartLayout layout_;
  MatrixSlice slice_;
  Status can_decode_, can_multiply_;
  std::vector<DevicePart> parts_;
  DeviceMemory memory_;
};

using DeviceTensorPtr = std::shared_ptr<const DeviceTensor>;

}  // namespace ingot

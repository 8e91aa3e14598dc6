// A tensor, or a slice of one, on a device: its planes as they are in the file, and what kernels need to know of them.
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
  // Of a linear encoding that the slice has elements of: what kernels take. Elements have the numbers that they have in
  // the whole part, rows and columns that are not in the slice must not be asked for. Rows of codes are
  // view->row_units units apart, which is less than a row has where the slice is narrower.
  std::optional<cuda::MatrixView> view;
};

// Immutable; thread-safe. Owns its memory, holds the device alive, needs neither file nor model.
class DeviceTensor {
 public:
  const std::string& name() const { return name_; }  // of the tensor, or of the first one that it is tied to
  const MatrixSlice& slice() const { return slice_; }
  const std::vector<DevicePart>& parts() const { return parts_; }
  uint64_t bytes() const { return memory_.size(); }
  const std::byte* memory() const { return memory_.data(); }

  // The layout of `view`, whose planes will be at `memory` before anyone may use them. Checks shapes and indices once
  // more (kBadInput): kernels have no other protection.
  static Result<std::shared_ptr<const DeviceTensor>> Make(const TensorView& view, const MatrixSlice& slice,
                                                          const DeviceLayout& layout, DeviceMemory memory);

 private:
  DeviceTensor() = default;
  std::string name_;
  MatrixSlice slice_;
  std::vector<DevicePart> parts_;
  DeviceMemory memory_;
};

using DeviceTensorPtr = std::shared_ptr<const DeviceTensor>;

}  // namespace ingot

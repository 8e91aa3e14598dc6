// Which bytes of a tensor's planes a slice needs on a device, and where they lie there. Plain values; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/device/device.h"
#include "runtime/tensor_view.h"

namespace ingot {

// The part of a plane that is on the device: pieces of its bytes (PlaneBlock), one after the other without gaps.
struct PlaneWindow {
  PlaneBlock block;         // of nothing: no byte is there. block.plane is kNoRecord for an inverted permutation.
  uint64_t plane_size = 0;  // of the whole plane
  uint64_t place = 0;       // from the beginning of the tensor's memory
  // Of a plane that holds indices, and of an inverted permutation: the checked copy, which is what is uploaded.
  const std::byte* checked = nullptr;

  bool empty() const { return block.size == 0; }
  uint64_t size() const { return block.size * block.rows; }
  // How far before `place` the plane would begin if all of it were there, in rows of `block.size` bytes where there are
  // several: what is there is found as in the whole plane. A multiple of kDeviceAlignment before or after 0.
  uint64_t shift() const {
    return block.rows == 1 ? block.offset : block.offset / block.pitch * block.size + block.offset % block.pitch;
  }
  // Whether rows are shorter than in the plane.
  bool narrow() const { return block.rows > 1; }
};

struct PartWindows {
  std::vector<PlaneWindow> own;                    // in the order of the file
  std::vector<std::vector<PlaneWindow>> children;  // of each child
  PlaneWindow stored_column;                       // of EncodedMatrix
  bool used = false;                               // the slice has elements in it
};

class DeviceLayout {
 public:
  // `view` must outlive it. Of encoded parts whole slice units of columns go there, since kernels load several columns
  // at once; where the encoding's view is not the tensor's matrix, whole units of rows, too. kBadInput if sizes do not
  // fit into 64 bits.
  static Result<DeviceLayout> Make(const TensorView& view, const MatrixSlice& slice);

  const std::vector<PartWindows>& parts() const { return parts_; }
  uint64_t size() const { return size_; }    // of the memory
  uint64_t bytes() const { return bytes_; }  // of the planes that go there

  // Calls use(window) for each one that is not empty.
  template <typename Use>
  void ForWindows(Use&& use) const {
    for (const PartWindows& part : parts_) {
      for (const PlaneWindow& window : part.own) {
        if (!window.empty()) use(window);
      }
      for (const auto& child : part.children) {
        for (const PlaneWindow& window : child) {
          if (!window.empty()) use(window);
        }
      }
      if (!part.stored_column.empty()) use(part.stored_column);
    }
  }

 private:
  std::vector<PartWindows> parts_;
  uint64_t size_ = 0, bytes_ = 0;
};

// Rows of bytes: from offsets in a piece of a plane to offsets in the memory of a layout.
struct WindowCopy {
  uint64_t to = 0, from = 0;
  uint64_t size = 0;
  uint64_t rows = 1;
  uint64_t to_pitch = 0, from_pitch = 0;
};

// Calls `emit` for the copies that bring what a window needs of bytes [offset, offset + size) of its plane, the piece,
// to its place: at most three.
void ForCopies(const PlaneWindow& window, uint64_t offset, uint64_t size,
               const std::function<void(const WindowCopy&)>& emit);

}  // namespace ingot

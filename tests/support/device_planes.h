// What is on an emulated device, compared with the file that it came from.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "kernels/matrix.h"
#include "runtime/device/device_tensor.h"
#include "runtime/model.h"
#include "tests/support/random_tensors.h"

namespace ingot::test {

// A whole plane of which the bytes that are on the device are those, and the others are not what they should be.
inline Bytes Overlay(const DevicePlane& plane) {
  Bytes bytes(plane.plane_size, std::byte{0xFF});
  if (plane.data == nullptr) return bytes;
  REQUIRE(plane.offset + (plane.rows - 1) * plane.pitch + plane.size <= plane.plane_size);
  for (uint64_t r = 0; r < plane.rows; ++r)
    std::memcpy(bytes.data() + plane.offset + r * plane.pitch, plane.data + r * plane.size, plane.size);
  return bytes;
}

// Whether each byte of a plane that is on the device is the file's.
inline void CheckPlane(const DevicePlane& plane, const Container& file, uint32_t number) {
  const auto expected = file.ReadPlane(number);
  REQUIRE(expected);
  REQUIRE(plane.plane_size == expected->size());
  if (plane.data == nullptr) return;
  const auto at = reinterpret_cast<uintptr_t>(plane.data);
  const uint64_t before = plane.rows == 1 ? plane.offset : 0;
  if (plane.rows == 1) CHECK((at - before) % kDeviceAlignment == 0);
  for (uint64_t r = 0; r < plane.rows; ++r) {
    REQUIRE(std::memcmp(plane.data + r * plane.size, expected->data() + plane.offset + r * plane.pitch, plane.size) ==
            0);
  }
}

inline void CheckPlanes(const DeviceTensor& tensor, const Model& model, uint32_t number) {
  const Container& file = model.container_of(number);
  const Index& index = file.index();
  const TensorRecord record = model.tensor(number);
  REQUIRE(tensor.parts().size() == record.part_count);
  for (uint32_t p = 0; p < record.part_count; ++p) {
    const DevicePart& part = tensor.parts()[p];
    const uint32_t root = index.part(record.first_part + p).encoding;
    const EncodingRecord own = index.encoding(root);
    REQUIRE(part.planes.size() == own.plane_count);
    REQUIRE(part.children.size() == own.child_count);
    for (uint32_t i = 0; i < own.plane_count; ++i) CheckPlane(part.planes[i], file, own.first_plane + i);
    for (uint32_t c = 0; c < own.child_count; ++c) {
      const EncodingRecord child = index.encoding(root - own.child_count + c);
      for (uint32_t i = 0; i < child.plane_count; ++i) CheckPlane(part.children[c][i], file, child.first_plane + i);
    }
  }
}

// A part as it is on the device, for the scalar reference.
class PartOnDevice {
 public:
  PartOnDevice(const DevicePart& part, const Linear& linear, const std::vector<Linear>& nested) {
    std::vector<EncodedMatrix> children;
    for (size_t c = 0; c < nested.size(); ++c)
      children.push_back(EncodedMatrix::Make(nested[c], true, Spans(part.children[c]), {}));
    matrix = EncodedMatrix::Make(linear, false, Spans(part.planes), std::move(children));
    if (linear.permutation) {
      REQUIRE(part.stored_column != nullptr);
      CHECK(std::memcmp(part.stored_column, matrix.stored_column.data(), 4 * linear.cols) == 0);
    }
  }
  EncodedMatrix matrix;

 private:
  std::vector<ByteSpan> Spans(const std::vector<DevicePlane>& planes) {
    std::vector<ByteSpan> spans;
    for (const DevicePlane& plane : planes) {
      planes_.push_back(std::make_unique<Bytes>(Overlay(plane)));
      spans.emplace_back(*planes_.back());
    }
    return spans;
  }
  std::vector<std::unique_ptr<Bytes>> planes_;
};

// Whether the elements of the slice have their values, from nothing but what is on the device.
inline void CheckValues(const DeviceTensor& tensor, const Model& model, uint32_t number, const Expected& e) {
  const Index& index = model.container_of(number).index();
  const TensorRecord record = model.tensor(number);
  const PartLayout layout(index, record);
  std::map<uint32_t, std::unique_ptr<PartOnDevice>> parts;
  layout.ForPieces(tensor.slice(), [&](const PartLayout::Piece& piece) {
    const DevicePart& part = tensor.parts()[piece.part];
    const uint32_t root = index.part(record.first_part + piece.part).encoding;
    const EncodingRecord own = index.encoding(root);
    const uint64_t columns = layout.part_columns(piece.part), type_size = InfoOf(e.dtype).size;
    const bool linear = own.is(EncodingKind::kLinear);
    CHECK(part.view.has_value());
    auto& on_device = parts[piece.part];
    if (linear && on_device == nullptr) {
      std::vector<Linear> nested;
      for (uint32_t c = root - own.child_count; c < root; ++c)
        nested.push_back(DecodeLinear(index.payload(index.encoding(c))));
      on_device = std::make_unique<PartOnDevice>(part, DecodeLinear(index.payload(own)), nested);
    }
    const Bytes raw = linear ? Bytes() : Overlay(part.planes[0]);
    for (uint64_t r = 0; r < piece.in_part.rows; ++r) {
      const uint64_t first = (piece.in_part.row + r) * columns + piece.in_part.column;
      std::vector<float> got(piece.in_part.columns);
      if (linear) {
        reference::DecodeElements(on_device->matrix, first, got.size(), got.data());
      } else {
        for (size_t i = 0; i < got.size(); ++i) {
          const std::byte* at = raw.data() + (first + i) * type_size;
          got[i] = e.dtype == DType::kF32   ? Load<float>(at)
                   : e.dtype == DType::kF16 ? F16ToF32(Load<uint16_t>(at))
                                            : BF16ToF32(Load<uint16_t>(at));
        }
      }
      const MatrixSlice& slice = tensor.slice();
      const uint64_t wanted = (slice.row + piece.row + r) * layout.columns() + slice.column + piece.column;
      for (size_t i = 0; i < got.size(); ++i) REQUIRE(SameFloat(got[i], e.values[wanted + i]));
    }
  });
}

}  // namespace ingot::test

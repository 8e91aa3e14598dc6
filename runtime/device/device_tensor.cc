#include "runtime/device/device_tensor.h"

#include <unordered_map>

#include "format/packing.h"
#include "kernels/cuda/decode_plan.h"

namespace ingot {
namespace {

std::vector<DevicePlane> PlanesAt(const std::byte* memory, const EncodingPlanes& of, bool foreign,
                                  const std::vector<PlaneWindow>& windows) {
  std::vector<DevicePlane> planes;
  for (size_t i = 0; i < windows.size(); ++i) {
    const PlaneWindow& window = windows[i];
    DevicePlane plane;
    plane.role = i < of.specs.size() ? of.specs[i].role : foreign ? PlaneRole::kForeignBlocks : PlaneRole::kRaw;
    plane.plane_size = window.plane_size;
    if (!window.empty()) {
      plane.data = memory + window.place;
      plane.offset = window.block.offset, plane.size = window.block.size;
      plane.rows = window.block.rows, plane.pitch = window.block.pitch;
    }
    planes.push_back(plane);
  }
  return planes;
}

// Where planes would begin on the device if all of them were there, by the address that the host knows them by.
class Beginnings {
 public:
  explicit Beginnings(const std::byte* memory) : memory_(reinterpret_cast<uintptr_t>(memory)) {}
  void Add(ByteSpan plane, const PlaneWindow& window) {
    if (!window.empty()) at_[plane.data()] = memory_ + window.place - window.shift();
  }
  const void* Find(ByteSpan plane) const {
    const auto found = at_.find(plane.data());
    return found == at_.end() ? nullptr : reinterpret_cast<const void*>(found->second);
  }

 private:
  uintptr_t memory_;
  std::unordered_map<const std::byte*, uintptr_t> at_;
};

void AddPlanes(const EncodingPlanes& of, const std::vector<PlaneWindow>& windows, Beginnings& to) {
  for (size_t i = 0; i < windows.size(); ++i) to.Add(of.places[i], windows[i]);
}

Result<cuda::MatrixView> ViewOf(const TensorView::Part& part, const PartWindows& windows, const std::byte* memory) {
  Beginnings beginnings(memory);
  AddPlanes(part.own, windows.own, beginnings);
  for (size_t c = 0; c < part.children.size(); ++c) AddPlanes(part.children[c], windows.children[c], beginnings);
  beginnings.Add(std::as_bytes(std::span(part.matrix.stored_column)), windows.stored_column);
  auto view = cuda::MakeMatrixView(part.matrix, [&](ByteSpan plane) { return beginnings.Find(plane); });
  if (!view) return view;
  // All fields of a code have the same units of each row.
  const PlaneWindow& codes = windows.own.front();
  if (codes.narrow()) view->row_units = codes.block.size / (kPackUnit / 8 * FieldWidths(part.own.linear.bits).front());
  return view;
}

// Of a raw part of a type that can be decoded.
Result<cuda::MatrixView> RawViewOf(DType type, uint64_t rows, uint64_t columns, const PlaneWindow& elements,
                                   const std::byte* memory) {
  const uint64_t stride = elements.narrow() ? elements.block.size / InfoOf(type).size : columns;
  const uintptr_t first = reinterpret_cast<uintptr_t>(memory) + elements.place - elements.shift();
  return cuda::MakeRawView(type, rows, columns, stride, reinterpret_cast<const void*>(first));
}

}  // namespace

Result<std::shared_ptr<const DeviceTensor>> DeviceTensor::Make(const TensorView& view, const MatrixSlice& slice,
                                                               const DeviceLayout& layout,
                                                               std::shared_ptr<Device> device, DeviceMemory memory) {
  std::shared_ptr<DeviceTensor> tensor(new DeviceTensor());
  tensor->name_ = view.record().name;
  tensor->label_ = view.Name();
  tensor->device_ = std::move(device);
  tensor->layout_ = view.layout();
  tensor->slice_ = slice;
  tensor->can_decode_ = tensor->can_multiply_ = view.CanDecode();
  for (size_t p = 0; p < view.parts().size(); ++p) {
    const TensorView::Part& part = view.parts()[p];
    const PartWindows& windows = layout.parts()[p];
    const bool foreign = !part.raw && !part.linear;
    DevicePart made;
    made.planes = PlanesAt(memory.data(), part.own, foreign, windows.own);
    for (size_t c = 0; c < part.children.size(); ++c)
      made.children.push_back(PlanesAt(memory.data(), part.children[c], foreign, windows.children[c]));
    if (!windows.stored_column.empty()) made.stored_column = memory.data() + windows.stored_column.place;
    if (windows.used && (part.linear || (part.raw && tensor->can_decode_))) {
      auto kernels = part.linear ? ViewOf(part, windows, memory.data())
                                 : RawViewOf(view.dtype(), view.layout().part_rows(p), view.layout().part_columns(p),
                                             windows.own.front(), memory.data());
      if (!kernels) return Fail(kernels.error().code, "{}: {}", view.Name(), kernels.error().message);
      made.view = *kernels;
      made.aligned = part.raw || part.aligned;
    }
    tensor->parts_.push_back(std::move(made));
  }
  tensor->memory_ = std::move(memory);
  return tensor;
}

}  // namespace ingot

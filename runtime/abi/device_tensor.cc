// Tensors on a device: describing, planes, decoding.
#include "runtime/abi/arguments.h"

using namespace ingot;
using namespace ingot::abi;

namespace {

ingot_device_tensor_info Describe(const ingot_device_tensor& handle) {
  const DeviceTensor& tensor = *handle.tensor;
  auto info = Blank<ingot_device_tensor_info>();
  info.rows = tensor.layout().rows();
  info.columns = tensor.layout().columns();
  info.row = tensor.slice().row;
  info.slice_rows = tensor.slice().rows;
  info.column = tensor.slice().column;
  info.slice_columns = tensor.slice().columns;
  info.memory_bytes = tensor.bytes();
  info.name = TextOf(handle.name);
  info.part_count = static_cast<uint32_t>(tensor.parts().size());
  info.can_decode = tensor.can_decode().has_value();
  info.can_multiply = tensor.can_multiply().has_value();
  return info;
}

tl::expected<ingot_device_plane, Failure> PlaneOf(const DeviceTensor& tensor, uint32_t part, uint32_t child,
                                                  uint32_t plane) {
  const auto& parts = tensor.parts();
  if (part >= parts.size())
    return Refuse(INGOT_E_NOT_FOUND, "{}: there is no part {}, there are {}", tensor.label(), part, parts.size());
  const DevicePart& p = parts[part];
  if (child > p.children.size())
    return Refuse(INGOT_E_NOT_FOUND, "{}: part {} has no child {}, it has {}", tensor.label(), part, child,
                  p.children.size());
  const auto& planes = child == 0 ? p.planes : p.children[child - 1];
  if (plane >= planes.size())
    return Refuse(INGOT_E_NOT_FOUND, "{}: encoding {} of part {} has no plane {}, it has {}", tensor.label(), child,
                  part, plane, planes.size());
  const DevicePlane& of = planes[plane];
  auto info = Blank<ingot_device_plane>();
  info.role = static_cast<uint32_t>(of.role);
  info.data = of.data;
  info.offset = of.offset;
  info.size = of.size;
  info.rows = of.rows;
  info.pitch = of.pitch;
  info.plane_size = of.plane_size;
  return info;
}

}  // namespace

extern "C" {

ingot_device_tensor* ingot_device_tensor_retain(ingot_device_tensor* tensor) {
  if (tensor != nullptr) tensor->references.fetch_add(1, std::memory_order_relaxed);
  return tensor;
}

void ingot_device_tensor_release(ingot_device_tensor* tensor) {
  if (tensor != nullptr && tensor->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete tensor;
}

ingot_status ingot_device_tensor_describe(const ingot_device_tensor* tensor, ingot_device_tensor_info* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    HandOut(Describe(*tensor), out);
    return {};
  });
}

ingot_status ingot_device_tensor_plane(const ingot_device_tensor* tensor, uint32_t part, uint32_t child, uint32_t plane,
                                       ingot_device_plane* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    const auto info = PlaneOf(*tensor->tensor, part, child, plane);
    if (!info) return tl::unexpected(info.error());
    HandOut(*info, out);
    return {};
  });
}

ingot_status ingot_device_tensor_decode(const ingot_device_tensor* tensor, const ingot_slice* slice, ingot_dtype dtype,
                                        void* out, size_t out_bytes, uint64_t stride, void* stream) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    const DeviceTensor& of = *tensor->tensor;
    if (static_cast<uint32_t>(dtype) > INGOT_BF16)
      return Refuse(INGOT_E_ARGUMENT, "dtype is {}, must be INGOT_F32, INGOT_F16 or INGOT_BF16",
                    static_cast<uint32_t>(dtype));
    const auto what = SliceWithin(of.slice(), of.label(), slice);
    if (!what) return tl::unexpected(what.error());
    const auto type = static_cast<DType>(dtype);
    const uint64_t size = InfoOf(type).size;
    if (auto fits = CheckBuffer(*what, size, size, out, out_bytes, stride); !fits) return fits;
    if (auto decoded = of.Decode(*what, type, static_cast<std::byte*>(out), stride, stream); !decoded)
      return Pass(decoded);
    return {};
  });
}

}  // extern "C"

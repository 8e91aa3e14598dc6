// Products on a device.
#include "runtime/abi/arguments.h"

using namespace ingot;
using namespace ingot::abi;

namespace {

// From here on a product needs no more scratch for more rows; below, kernels for more rows may need less.
constexpr uint64_t kRowsOfPlans = 32;

Outcome CheckProduct(const DeviceTensor& tensor, const ingot_device_product& p) {
  if (p.precision > INGOT_PRECISION_LLM_INT8) return Refuse(INGOT_E_ARGUMENT, "precision is {}", p.precision);
  if (p.precision == INGOT_PRECISION_INT16)
    return Refuse(INGOT_E_UNSUPPORTED, "{}: on a device there is no product in INGOT_PRECISION_INT16", tensor.label());
  if (p.x_dtype > INGOT_BF16)
    return Refuse(INGOT_E_ARGUMENT, "x_dtype is {}, must be INGOT_F16 or INGOT_BF16", p.x_dtype);
  if (p.x_dtype == INGOT_F32)
    return Refuse(INGOT_E_UNSUPPORTED, "{}: on a device x_dtype must be INGOT_F16 or INGOT_BF16, not INGOT_F32",
                  tensor.label());
  if (p.add > 1) return Refuse(INGOT_E_ARGUMENT, "add is {}, must be 0 or 1", p.add);
  if (!(p.threshold >= 0.0f)) return Refuse(INGOT_E_ARGUMENT, "threshold is {}, must be at least 0", p.threshold);
  if (p.x_rows >= uint64_t{1} << 31) return Refuse(INGOT_E_ARGUMENT, "x_rows is {}, must be less than 2^31", p.x_rows);
  return {};
}

cuda::ProductRequest RequestOf(const ingot_device_product& p, const MatrixSlice& slice) {
  cuda::ProductRequest request;
  request.x = p.x;
  request.x_type = static_cast<DType>(p.x_dtype);
  request.x_rows = p.x_rows;
  request.x_stride = p.x_stride == 0 ? slice.columns : p.x_stride;
  request.y = p.y;
  request.y_stride = p.y_stride == 0 ? slice.rows : p.y_stride;
  request.precision = static_cast<cuda::ProductPrecision>(p.precision);
  request.threshold = p.threshold == 0.0f ? 6.0f : p.threshold;
  request.add = p.add != 0;
  request.scratch = p.scratch;
  return request;
}

// Its slice and the product, as far as that goes without memory.
struct Asked {
  MatrixSlice slice;
  ingot_device_product product;
  cuda::ProductRequest request;
};
tl::expected<Asked, Failure> AskedOf(const DeviceTensor& tensor, const ingot_slice* slice,
                                     const ingot_device_product* product) {
  if (auto checked = CheckStruct(product, "product"); !checked) return tl::unexpected(checked.error());
  const auto what = SliceWithin(tensor.slice(), tensor.label(), slice);
  if (!what) return tl::unexpected(what.error());
  Asked asked;
  asked.slice = *what;
  asked.product = TakeIn(product);
  if (auto checked = CheckProduct(tensor, asked.product); !checked) return tl::unexpected(checked.error());
  asked.request = RequestOf(asked.product, *what);
  return asked;
}

Outcome CheckMemory(const DeviceTensor& tensor, const Asked& asked) {
  const cuda::ProductRequest& r = asked.request;
  const uint64_t size = InfoOf(r.x_type).size;
  if (auto x = CheckOperand("x", r.x, r.x_rows, asked.slice.columns, r.x_stride, size); !x) return x;
  if (auto y = CheckOperand("y", r.y, r.x_rows, asked.slice.rows, r.y_stride, sizeof(float)); !y) return y;
  const auto scratch = tensor.ScratchBytes(asked.slice, r);
  if (!scratch) return Pass(scratch);
  if (*scratch > asked.product.scratch_bytes)
    return Refuse(INGOT_E_ARGUMENT, "{}: scratch_bytes is {}, must be {} at least", tensor.label(),
                  asked.product.scratch_bytes, *scratch);
  if (*scratch > 0 && r.scratch == nullptr) return Refuse(INGOT_E_ARGUMENT, "scratch is NULL");
  if (reinterpret_cast<uintptr_t>(r.scratch) % kDeviceAlignment != 0)
    return Refuse(INGOT_E_ARGUMENT, "scratch is not at a multiple of {} bytes", kDeviceAlignment);
  return {};
}

}  // namespace

extern "C" {

ingot_status ingot_device_product_scratch(const ingot_device_tensor* tensor, const ingot_slice* slice,
                                          const ingot_device_product* product, size_t* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}, {out, "out"}}); !there) return there;
    const DeviceTensor& of = *tensor->tensor;
    const auto asked = AskedOf(of, slice, product);
    if (!asked) return tl::unexpected(asked.error());
    cuda::ProductRequest request = asked->request;
    uint64_t most = 0;
    const auto count = [&](uint64_t rows) -> Outcome {
      request.x_rows = rows;
      const auto bytes = of.ScratchBytes(asked->slice, request);
      if (!bytes) return Pass(bytes);
      most = std::max(most, *bytes);
      return {};
    };
    if (auto all = count(asked->product.x_rows); !all) return all;
    for (uint64_t rows = 1; rows <= std::min(kRowsOfPlans, asked->product.x_rows); ++rows) {
      if (auto fewer = count(rows); !fewer) return fewer;
    }
    *out = most;
    return {};
  });
}

ingot_status ingot_device_tensor_multiply(const ingot_device_tensor* tensor, const ingot_slice* slice,
                                          const ingot_device_product* product, void* stream) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    const DeviceTensor& of = *tensor->tensor;
    const auto asked = AskedOf(of, slice, product);
    if (!asked) return tl::unexpected(asked.error());
    if (auto fits = CheckMemory(of, *asked); !fits) return fits;
    if (auto multiplied = of.Multiply(asked->slice, asked->request, stream); !multiplied) return Pass(multiplied);
    return {};
  });
}

}  // extern "C"

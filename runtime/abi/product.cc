// Products.
#include <cmath>
#include <vector>

#include "kernels/widen.h"
#include "runtime/abi/arguments.h"

using namespace ingot;
using namespace ingot::abi;

namespace {

Outcome CheckProduct(const ingot_product& p, const MatrixSlice& slice) {
  if (p.precision > INGOT_PRECISION_LLM_INT8) return Refuse(INGOT_E_ARGUMENT, "precision is {}", p.precision);
  if (p.x_dtype > INGOT_BF16)
    return Refuse(INGOT_E_ARGUMENT, "x_dtype is {}, must be INGOT_F32, INGOT_F16 or INGOT_BF16", p.x_dtype);
  if (p.add > 1) return Refuse(INGOT_E_ARGUMENT, "add is {}, must be 0 or 1", p.add);
  if (!(p.threshold >= 0.0f)) return Refuse(INGOT_E_ARGUMENT, "threshold is {}, must be at least 0", p.threshold);
  const uint64_t size = InfoOf(static_cast<DType>(p.x_dtype)).size;
  if (auto x = CheckOperand("x", p.x, p.x_rows, slice.columns, p.x_stride, size); !x) return x;
  return CheckOperand("y", p.y, p.x_rows, slice.rows, p.y_stride, sizeof(float));
}

// Activations as f32, row after row.
std::vector<float> Widened(const ingot_product& p, uint64_t columns) {
  const auto type = static_cast<DType>(p.x_dtype);
  std::vector<float> x(p.x_rows * columns);
  for (uint64_t n = 0; n < p.x_rows; ++n) {
    WidenToF32(type, static_cast<const std::byte*>(p.x) + n * p.x_stride * InfoOf(type).size, columns,
               x.data() + n * columns);
  }
  return x;
}

}  // namespace

extern "C" {

ingot_status ingot_tensor_multiply(const ingot_tensor* tensor, const ingot_slice* slice, const ingot_product* product) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    if (auto checked = CheckStruct(product, "product"); !checked) return checked;
    const TensorView& view = *tensor->view;
    const auto what = SliceOf(view, slice);
    if (!what) return tl::unexpected(what.error());
    ingot_product p = TakeIn(product);
    if (p.x_stride == 0) p.x_stride = what->columns;
    if (p.y_stride == 0) p.y_stride = what->rows;
    if (auto checked = CheckProduct(p, *what); !checked) return checked;
    if (auto can = view.CanDecode(); !can) return Pass(can);
    std::vector<float> widened;
    Product own;
    own.x = static_cast<const float*>(p.x);
    own.x_stride = p.x_stride;
    if (p.x_dtype != INGOT_F32) {
      widened = Widened(p, what->columns);
      own.x = widened.data();
      own.x_stride = what->columns;
    }
    own.x_rows = p.x_rows;
    own.y = p.y;
    own.y_stride = p.y_stride;
    own.precision = static_cast<Precision>(p.precision);
    own.threshold = p.threshold == 0.0f ? 6.0f : p.threshold;
    own.add = p.add != 0;
    if (auto multiplied = view.Multiply(*what, own); !multiplied) return Pass(multiplied);
    return {};
  });
}

}  // extern "C"

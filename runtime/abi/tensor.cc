// Tensors: finding, opening, describing; slices decoded and read.
#include "runtime/abi/arguments.h"

using namespace ingot;
using namespace ingot::abi;

namespace {

Outcome RequireTensor(const ingot_model& model, uint32_t number) {
  const Model& m = model.loaded->model();
  if (number < m.tensor_count()) return {};
  return Refuse(INGOT_E_NOT_FOUND, "{}: there is no tensor {}, there are {}", m.main().path(), number,
                m.tensor_count());
}

ingot_tensor_info Describe(const ingot_tensor& tensor) {
  const Model& model = tensor.model->model();
  const TensorView& view = *tensor.view;
  const TensorRecord& record = view.record();
  const Index& index = model.container_of(tensor.number).index();
  auto info = Blank<ingot_tensor_info>();
  info.number = tensor.number;
  info.dtype = record.dtype;
  info.rank = record.rank;
  info.axis = record.axis;
  for (int i = 0; i < record.rank; ++i) info.dims[i] = record.dim(i);
  info.rows = view.whole().rows;
  info.columns = view.whole().columns;
  info.name = TextOf(record.name);
  info.encoding = TextOf(view.description());
  info.part_count = record.part_count;
  info.is_alias = model.is_alias(tensor.number);
  info.can_decode = info.can_multiply = view.CanDecode().has_value();
  info.plane_bytes = PlaneBytesOf(index, record);
  info.stored_bytes = StoredBytesOf(index, record);
  info.slice_rows = view.slice_rows();
  info.slice_columns = view.slice_columns();
  const uint64_t elements = ElementCount(record);
  if (elements > 0) info.bits_per_weight = 8.0 * static_cast<double>(info.plane_bytes) / static_cast<double>(elements);
  return info;
}

}  // namespace

extern "C" {

ingot_status ingot_tensor_name(const ingot_model* model, uint32_t number, ingot_text* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}, {out, "out"}}); !there) return there;
    if (auto known = RequireTensor(*model, number); !known) return known;
    *out = TextOf(model->loaded->model().tensor(number).name);
    return {};
  });
}

ingot_status ingot_tensor_find(const ingot_model* model, const char* name, size_t name_size, uint32_t* number) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}, {name, "name"}, {number, "number"}}); !there) return there;
    const Model& m = model->loaded->model();
    const auto found = m.Find({name, name_size});
    if (!found)
      return Refuse(INGOT_E_NOT_FOUND, "{}: there is no tensor {}", m.main().path(), Quote({name, name_size}));
    *number = *found;
    return {};
  });
}

ingot_status ingot_tensor_open(ingot_model* model, uint32_t number, ingot_tensor** out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}, {out, "out"}}); !there) return there;
    if (auto known = RequireTensor(*model, number); !known) return known;
    auto view = model->loaded->OpenTensor(number);
    if (!view) return Pass(view);
    *out = new ingot_tensor(model->loaded, number, std::move(*view));
    return {};
  });
}

ingot_tensor* ingot_tensor_retain(ingot_tensor* tensor) {
  if (tensor != nullptr) tensor->references.fetch_add(1, std::memory_order_relaxed);
  return tensor;
}

void ingot_tensor_release(ingot_tensor* tensor) {
  if (tensor != nullptr && tensor->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete tensor;
}

ingot_status ingot_tensor_describe(const ingot_tensor* tensor, ingot_tensor_info* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    HandOut(Describe(*tensor), out);
    return {};
  });
}

ingot_status ingot_tensor_decode(const ingot_tensor* tensor, const ingot_slice* slice, ingot_dtype dtype, void* out,
                                 size_t out_bytes, uint64_t stride) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    const TensorView& view = *tensor->view;
    if (static_cast<uint32_t>(dtype) > INGOT_BF16)
      return Refuse(INGOT_E_ARGUMENT, "dtype is {}, must be INGOT_F32, INGOT_F16 or INGOT_BF16",
                    static_cast<uint32_t>(dtype));
    const auto what = SliceOf(view, slice);
    if (!what) return tl::unexpected(what.error());
    const auto type = static_cast<DType>(dtype);
    const uint64_t size = InfoOf(type).size;
    if (auto fits = CheckBuffer(*what, size, size, out, out_bytes, stride); !fits) return fits;
    if (auto can = view.CanDecode(); !can) return Pass(can);
    if (auto decoded = view.Decode(*what, type, out, stride); !decoded) return Pass(decoded);
    return {};
  });
}

ingot_status ingot_tensor_read(const ingot_tensor* tensor, const ingot_slice* slice, void* out, size_t out_bytes,
                               uint64_t stride) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    const TensorView& view = *tensor->view;
    const auto what = SliceOf(view, slice);
    if (!what) return tl::unexpected(what.error());
    const uint64_t size = InfoOf(view.dtype()).size;
    const uint64_t alignment = view.dtype() == DType::kC64 ? 4 : size;  // two floats
    if (auto fits = CheckBuffer(*what, size, alignment, out, out_bytes, stride); !fits) return fits;
    if (auto read = view.Read(*what, out, stride); !read) return Pass(read);
    return {};
  });
}

ingot_status ingot_tensor_verify(const ingot_tensor* tensor, const ingot_slice* slice) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    const auto what = SliceOf(*tensor->view, slice);
    if (!what) return tl::unexpected(what.error());
    if (auto verified = tensor->view->Verify(*what); !verified) return Pass(verified);
    return {};
  });
}

ingot_status ingot_tensor_prefetch(const ingot_tensor* tensor, const ingot_slice* slice) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    const auto what = SliceOf(*tensor->view, slice);
    if (!what) return tl::unexpected(what.error());
    tensor->view->Prefetch(*what);
    return {};
  });
}

}  // extern "C"

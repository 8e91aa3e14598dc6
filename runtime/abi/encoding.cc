// Encodings and planes, for engines with kernels of their own.
#include "runtime/abi/abi.h"

using namespace ingot;
using namespace ingot::abi;

namespace {

// Encoding `child` (0: the part's own) of a part, in the index.
tl::expected<uint32_t, Failure> EncodingNumber(const ingot_tensor& tensor, uint32_t part, uint32_t child) {
  const auto& parts = tensor.view->parts();
  if (part >= parts.size())
    return Refuse(INGOT_E_NOT_FOUND, "{}: there is no part {}, there are {}", tensor.view->Name(), part, parts.size());
  const size_t children = parts[part].children.size();
  if (child > children) {
    return Refuse(INGOT_E_NOT_FOUND, "{}: there is no child {} of part {}, there are {}", tensor.view->Name(), child,
                  part, children);
  }
  const uint32_t root = parts[part].encoding;
  return child == 0 ? root : root - static_cast<uint32_t>(children) + child - 1;
}

const Index& IndexOf(const ingot_tensor& tensor) { return tensor.model->model().container_of(tensor.number).index(); }

// `nested` counts the operands that are children, in the order of the file.
ingot_operand OperandOf(const Operand& operand, uint32_t& nested) {
  auto out = Blank<ingot_operand>();
  out.form = static_cast<uint32_t>(operand.form);
  if (operand.form == OperandForm::kArray) out.dtype = static_cast<uint32_t>(operand.type);
  if (operand.form == OperandForm::kConstant) out.constant = operand.constant;
  if (operand.form == OperandForm::kNested) out.child = ++nested;
  return out;
}

void FillLinear(const Linear& l, ingot_encoding& out) {
  out.bits = static_cast<uint32_t>(l.bits);
  out.arithmetic = static_cast<uint32_t>(l.arithmetic);
  out.result = static_cast<uint32_t>(l.result);
  out.has_codebook = l.codebook;
  out.has_permutation = l.permutation;
  out.outliers = static_cast<uint32_t>(l.outliers);
  out.outlier_dtype = static_cast<uint32_t>(l.outlier_type);
  out.outlier_count = l.outlier_count;
  out.rows = l.rows;
  out.columns = l.cols;
  out.group_rows = l.group_rows;
  out.group_columns = l.group_cols;
  uint32_t nested = 0;
  out.s = OperandOf(l.s, nested);
  out.z = OperandOf(l.z, nested);
  out.o = OperandOf(l.o, nested);
  out.t = OperandOf(l.t, nested);
}

// What a plane is, as far as its encoding tells.
void FillRole(const EncodingRecord& encoding, const EncodingPlanes& planes, uint32_t number, DType dtype,
              ingot_plane& out) {
  out.dtype = INGOT_U8;
  if (encoding.is(EncodingKind::kRaw)) out.dtype = static_cast<uint32_t>(dtype);
  if (encoding.is(EncodingKind::kForeign)) out.role = INGOT_ROLE_FOREIGN_BLOCKS;
  if (number >= planes.specs.size()) return;
  const PlaneSpec& spec = planes.specs[number];
  out.role = static_cast<uint32_t>(spec.role);
  out.field_width = static_cast<uint32_t>(spec.field_width);
  out.dtype = static_cast<uint32_t>(spec.type);
}

}  // namespace

extern "C" {

ingot_status ingot_tensor_encoding(const ingot_tensor* tensor, uint32_t part, uint32_t child, ingot_encoding* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    const auto number = EncodingNumber(*tensor, part, child);
    if (!number) return tl::unexpected(number.error());
    const Index& index = IndexOf(*tensor);
    const EncodingRecord record = index.encoding(*number);
    auto info = Blank<ingot_encoding>();
    info.kind = record.kind;
    info.plane_count = record.plane_count;
    info.child_count = record.child_count;
    info.extent = tensor->view->parts()[part].extent;
    if (record.is(EncodingKind::kLinear)) FillLinear(DecodeLinear(index.payload(record)), info);
    if (record.is(EncodingKind::kForeign)) {
      const Foreign foreign = DecodeForeign(index.payload(record));
      info.foreign_name = TextOf(foreign.name);
      info.foreign_bytes = foreign.block_bytes;
      info.foreign_elements = foreign.block_elements;
    }
    HandOut(info, out);
    return {};
  });
}

ingot_status ingot_tensor_plane(const ingot_tensor* tensor, uint32_t part, uint32_t child, uint32_t plane,
                                ingot_plane* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{tensor, "tensor"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    const auto number = EncodingNumber(*tensor, part, child);
    if (!number) return tl::unexpected(number.error());
    const Index& index = IndexOf(*tensor);
    const EncodingRecord record = index.encoding(*number);
    if (plane >= record.plane_count) {
      return Refuse(INGOT_E_NOT_FOUND, "{}: there is no plane {}, the encoding has {}", tensor->view->Name(), plane,
                    record.plane_count);
    }
    const auto bytes = tensor->view->Plane(part, child, plane);
    if (!bytes) return Pass(bytes);
    const TensorView::Part& owner = tensor->view->parts()[part];
    auto info = Blank<ingot_plane>();
    FillRole(record, child == 0 ? owner.own : owner.children[child - 1], plane, tensor->view->dtype(), info);
    info.compressed = index.plane(record.first_plane + plane).framed();
    info.size = bytes->size();
    info.data = bytes->data();
    HandOut(info, out);
    return {};
  });
}

}  // extern "C"

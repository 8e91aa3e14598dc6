// Checks a matrix and makes its view. What is checked here has been checked when the file was opened, too: a kernel has
// no other protection than this.
#include "kernels/cuda/matrix_view.h"

#include <algorithm>

#include "format/packing.h"
#include "format/status.h"
#include "kernels/cuda/decode_plan.h"
#include "kernels/matrix.h"

namespace ingot::cuda {
namespace {

Type TypeOf(DType type) { return static_cast<Type>(type); }

Status CheckLinear(const Linear& l) {
  constexpr uint64_t kMostElements = uint64_t{1} << 48;
  const bool indexed = l.permutation || l.outliers != OutlierForm::kNone;
  if (l.bits < 1 || l.bits > 8 || l.arithmetic > DType::kBF16 || l.result > DType::kBF16 ||
      l.outlier_type > DType::kBF16)
    return Fail(ErrorCode::kBadInput, "R-LIN-1: {} bits, or an unknown type", l.bits);
  if (l.rows == 0 || l.cols == 0 || l.rows > kMostElements / l.cols || (indexed && l.cols >> 32 != 0))
    return Fail(ErrorCode::kBadInput, "R-LIN-2: a view of {} by {}", l.rows, l.cols);
  if (l.group_rows == 0 || l.group_rows > l.rows || l.group_cols == 0 || l.group_cols > l.cols)
    return Fail(ErrorCode::kBadInput, "R-LIN-3: groups of {} by {}", l.group_rows, l.group_cols);
  return {};
}

Status CheckPlane(ByteSpan plane, uint64_t size, PlaneRole role) {
  if (plane.size() == size) return {};
  return Fail(ErrorCode::kBadInput, "{} of {} bytes, expected {}", NameOf(role), plane.size(), size);
}

// The planes of `m` in the order of PlanesOf.
std::vector<ByteSpan> PlanesIn(const EncodedMatrix& m, const std::vector<PlaneSpec>& specs) {
  std::vector<ByteSpan> planes;
  size_t field = 0;
  for (const PlaneSpec& spec : specs) {
    switch (spec.role) {
      case PlaneRole::kCodes:
        planes.push_back(m.codes[field++]);
        break;
      case PlaneRole::kCodebook:
        planes.push_back(m.codebook);
        break;
      case PlaneRole::kScales:
        planes.push_back(m.s);
        break;
      case PlaneRole::kZeroPoints:
        planes.push_back(m.z);
        break;
      case PlaneRole::kOffsets:
        planes.push_back(m.o);
        break;
      case PlaneRole::kColumnScales:
        planes.push_back(m.t);
        break;
      case PlaneRole::kPermutation:
        planes.push_back(m.permutation);
        break;
      case PlaneRole::kOutlierRows:
        planes.push_back(m.outlier_rows);
        break;
      case PlaneRole::kOutlierColumns:
        planes.push_back(m.outlier_columns);
        break;
      case PlaneRole::kOutlierValues:
        planes.push_back(m.outlier_values);
        break;
      default:
        planes.emplace_back();
        break;
    }
  }
  return planes;
}

Status CheckIndices(const EncodedMatrix& m) {
  const Linear& l = m.linear;
  if (l.permutation) {
    const auto outside = [&](uint32_t column) { return column >= l.cols; };
    if (m.stored_column.size() != l.cols || std::any_of(m.stored_column.begin(), m.stored_column.end(), outside))
      return Fail(ErrorCode::kBadInput, "R-PERM-1: the permutation leaves the {} columns", l.cols);
  }
  if (l.outliers == OutlierForm::kNone) return {};
  for (uint64_t i = 0; i < m.outlier_columns.size() / static_cast<uint64_t>(l.column_bytes()); ++i) {
    if (reference::OutlierColumn(m, i) >= l.cols)
      return Fail(ErrorCode::kBadInput, "R-OUT-2: outlier {} is in column {} of {}", i, reference::OutlierColumn(m, i),
                  l.cols);
  }
  uint64_t before = 0;
  for (uint64_t r = 0; l.outliers == OutlierForm::kUnstructured && r <= l.rows; ++r) {
    const auto start = Load<uint64_t>(m.outlier_rows.data() + 8 * r);
    if (start < before || start > l.outlier_count || (r == 0 && start != 0) ||
        (r == l.rows && start != l.outlier_count))
      return Fail(ErrorCode::kBadInput, "R-OUT-1: row {} begins with outlier {} of {}", r, start, l.outlier_count);
    before = start;
  }
  return {};
}

// Shape, planes and indices of one encoding, its children apart.
Status CheckMatrix(const EncodedMatrix& m, bool nested) {
  const Linear& l = m.linear;
  if (const Status checked = CheckLinear(l); !checked) return checked;
  if (m.nested != nested || m.children.size() != static_cast<size_t>(l.child_count()) ||
      (nested && (!m.children.empty() || l.permutation || l.outliers != OutlierForm::kNone)))
    return Fail(ErrorCode::kBadInput, "R-NEST-1: an encoding that cannot be where it is");
  const std::vector<PlaneSpec> specs = PlanesOf(l, nested);
  const std::vector<ByteSpan> planes = PlanesIn(m, specs);
  for (size_t i = 0; i < specs.size(); ++i) {
    if (const Status checked = CheckPlane(planes[i], specs[i].size, specs[i].role); !checked) return checked;
  }
  return CheckIndices(m);
}

OperandView ViewOf(const Operand& operand, ByteSpan array, const DeviceAddress& device_address) {
  OperandView view;
  view.form = static_cast<Form>(operand.form);
  view.type = TypeOf(operand.type);
  view.constant = operand.constant;
  if (operand.form == OperandForm::kArray) view.array = device_address(array);
  return view;
}

NodeView ViewOf(const EncodedMatrix& m, const DeviceAddress& device_address) {
  const Linear& l = m.linear;
  NodeView view;
  for (size_t f = 0; f < FieldWidths(l.bits).size(); ++f) view.codes[f] = device_address(m.codes[f]);
  if (l.codebook) view.codebook = device_address(m.codebook);
  for (int i = 0; i < 3; ++i) {
    view.operands[i] = ViewOf(m.operand(i), m.operand_array(i), device_address);
    // An absent operand is computed as its neutral value where it is computed at all.
    if (m.operand(i).form == OperandForm::kAbsent) view.operands[i].constant = i == 0 ? 1.0f : 0.0f;
  }
  view.columns = Divider::By(l.cols);
  view.group_rows = Divider::By(l.group_rows);
  view.group_columns = Divider::By(l.group_cols);
  view.groups_across = l.groups_across();
  view.bits = static_cast<uint8_t>(l.bits);
  view.arithmetic = TypeOf(l.arithmetic);
  return view;
}

}  // namespace

Result<MatrixView> MakeMatrixView(const EncodedMatrix& m, const DeviceAddress& device_address) {
  const Linear& l = m.linear;
  if (const Status checked = CheckMatrix(m, false); !checked) return Propagate(checked);
  for (int i = 0; i < 3; ++i) {
    if (m.operand(i).form != OperandForm::kNested) continue;
    const EncodedMatrix& child = m.nested_operand(i);
    if (const Status checked = CheckMatrix(child, true); !checked) return Propagate(checked);
    const bool rows_and_columns = child.linear.rows == l.groups_down() && child.linear.cols == l.groups_across();
    if (!rows_and_columns && (child.linear.rows != 1 || child.linear.cols != l.group_count()))
      return Fail(ErrorCode::kBadInput, "R-NEST-2: a view of {} by {} for {} by {} groups", child.linear.rows,
                  child.linear.cols, l.groups_down(), l.groups_across());
  }
  MatrixView view;
  view.root = ViewOf(m, device_address);
  for (int i = 0; i < 3; ++i) {
    if (m.operand(i).form == OperandForm::kNested) view.nested[i] = ViewOf(m.nested_operand(i), device_address);
  }
  view.rows = l.rows, view.columns = l.cols, view.row_units = PackedRowBytes(l.cols, 1) / 8;
  view.result = TypeOf(l.result);
  view.t = ViewOf(l.t, m.t, device_address);
  if (l.permutation) view.stored_column = device_address(std::as_bytes(std::span(m.stored_column)));
  view.outliers = static_cast<Outliers>(l.outliers);
  if (l.outliers == OutlierForm::kNone) return view;
  view.outlier_type = TypeOf(l.outlier_type);
  view.outlier_column_bytes = static_cast<uint8_t>(l.column_bytes());
  view.outlier_count = l.outlier_count;
  if (l.outliers == OutlierForm::kUnstructured) view.outlier_rows = device_address(m.outlier_rows);
  view.outlier_columns = device_address(m.outlier_columns);
  view.outlier_values = device_address(m.outlier_values);
  return view;
}

Result<MatrixView> MakeRawView(DType type, uint64_t rows, uint64_t columns, uint64_t stride, const void* elements) {
  if (type > DType::kF8E5M2)
    return Fail(ErrorCode::kUnsupported, "elements of {} cannot be decoded on a device", InfoOf(type).name);
  constexpr uint64_t kMostElements = uint64_t{1} << 60;
  if (rows == 0 || columns == 0 || stride == 0 || rows > kMostElements / std::max(stride, columns))
    return Fail(ErrorCode::kUsage, "{} by {} elements, rows {} apart", rows, columns, stride);
  MatrixView view;
  view.raw = true, view.raw_type = TypeOf(type), view.raw_stride = stride;
  view.rows = rows, view.columns = columns, view.row_units = PackedRowBytes(columns, 1) / 8;
  view.root.codes[0] = elements;
  view.root.bits = static_cast<uint8_t>(8 * InfoOf(type).size);
  view.root.columns = view.root.group_columns = Divider::By(columns);
  return view;
}

Status CheckSlice(const MatrixView& matrix, const MatrixSlice& slice) {
  if (slice.row <= matrix.rows && slice.rows <= matrix.rows - slice.row && slice.column <= matrix.columns &&
      slice.columns <= matrix.columns - slice.column)
    return {};
  return Fail(ErrorCode::kUsage, "{} rows from {} on and {} columns from {} on, of {} by {}", slice.rows, slice.row,
              slice.columns, slice.column, matrix.rows, matrix.columns);
}

}  // namespace ingot::cuda

#include "format/encoding.h"

#include <fmt/format.h>

#include "format/packing.h"

namespace ingot {
namespace {

// Types of arithmetic, results, operand arrays and outliers are stored as 0, 1, 2: the first three dtypes. Anything
// else is kept as it is, for the validation pass to refuse.
DType TypeAt(const std::byte* at) { return static_cast<DType>(Load<uint8_t>(at)); }

void AppendOperand(std::vector<std::byte>& out, const Operand& operand) {
  Append(out, static_cast<uint8_t>(operand.form));
  Append(out, static_cast<uint8_t>(operand.type));
  Append(out, uint16_t{0});
  Append(out, operand.form == OperandForm::kConstant ? operand.constant : 0.0f);
}

Operand DecodeOperand(const std::byte* at) {
  return {static_cast<OperandForm>(Load<uint8_t>(at)), TypeAt(at + 1), Load<float>(at + 4)};
}

std::string DescribeOperand(const char* name, const Operand& operand, const Linear* child) {
  switch (operand.form) {
    case OperandForm::kAbsent:
      return "";
    case OperandForm::kConstant:
      return fmt::format(" {}={:g}", name, operand.constant);
    case OperandForm::kArray:
      return fmt::format(" {} {}", name, InfoOf(operand.type).name);
    case OperandForm::kNested:
      break;
  }
  return child == nullptr ? "" : fmt::format(" {} ({})", name, Describe(*child, {}));
}

}  // namespace

int Linear::child_count() const {
  int count = 0;
  for (const Operand* operand : {&s, &z, &o}) count += operand->form == OperandForm::kNested;
  return count;
}

std::vector<std::byte> EncodeLinear(const Linear& l) {
  std::vector<std::byte> out;
  out.reserve(kLinearPayloadSize);
  Append(out, static_cast<uint8_t>(l.bits));
  Append(out, static_cast<uint8_t>(l.arithmetic));
  Append(out, static_cast<uint8_t>(l.result));
  Append(out, static_cast<uint8_t>(l.codebook));
  Append(out, static_cast<uint8_t>(l.permutation));
  Append(out, static_cast<uint8_t>(l.outliers));
  Append(out, static_cast<uint8_t>(l.outlier_type));
  Append(out, uint8_t{0});
  for (uint64_t v : {l.rows, l.cols, l.group_rows, l.group_cols, l.outlier_count}) Append(out, v);
  for (const Operand* operand : {&l.s, &l.z, &l.o, &l.t}) AppendOperand(out, *operand);
  return out;
}

Linear DecodeLinear(ByteSpan payload) {
  const std::byte* at = payload.data();
  Linear l;
  l.bits = Load<uint8_t>(at);
  l.arithmetic = TypeAt(at + 1);
  l.result = TypeAt(at + 2);
  l.codebook = Load<uint8_t>(at + 3) != 0;
  l.permutation = Load<uint8_t>(at + 4) != 0;
  l.outliers = static_cast<OutlierForm>(Load<uint8_t>(at + 5));
  l.outlier_type = TypeAt(at + 6);
  l.rows = Load<uint64_t>(at + 8);
  l.cols = Load<uint64_t>(at + 16);
  l.group_rows = Load<uint64_t>(at + 24);
  l.group_cols = Load<uint64_t>(at + 32);
  l.outlier_count = Load<uint64_t>(at + 40);
  l.s = DecodeOperand(at + 48);
  l.z = DecodeOperand(at + 56);
  l.o = DecodeOperand(at + 64);
  l.t = DecodeOperand(at + 72);
  return l;
}

std::vector<std::byte> EncodeForeign(const Foreign& foreign) {
  std::vector<std::byte> out;
  Append(out, foreign.block_bytes);
  Append(out, foreign.block_elements);
  Append(out, foreign.elements);
  Append(out, AsBytes(foreign.name));
  return out;
}

Foreign DecodeForeign(ByteSpan payload) {
  return {Load<uint32_t>(payload.data()), Load<uint32_t>(payload.data() + 4), Load<uint64_t>(payload.data() + 8),
          AsText(payload.subspan(kForeignPayloadSize))};
}

std::string_view NameOf(PlaneRole role) {
  constexpr std::string_view kNames[] = {"raw",          "codes",           "codebook",       "scales",
                                         "zero-points",  "offsets",         "column scales",  "permutation",
                                         "outlier rows", "outlier columns", "outlier values", "blocks"};
  return kNames[static_cast<size_t>(role)];
}

std::vector<PlaneSpec> PlanesOf(const Linear& l, bool nested) {
  std::vector<PlaneSpec> planes;
  const uint64_t rows = nested ? 1 : l.rows, cols = nested ? l.rows * l.cols : l.cols;
  for (int width : FieldWidths(l.bits)) {
    planes.push_back({PlaneRole::kCodes, rows * PackedRowBytes(cols, width), 1, width});
  }
  const auto add = [&](PlaneRole role, uint64_t count, uint8_t element_size, DType type = DType::kU8) {
    planes.push_back({role, count * element_size, element_size, 0, type});
  };
  const auto add_array = [&](PlaneRole role, const Operand& operand, uint64_t count) {
    if (operand.form == OperandForm::kArray) add(role, count, InfoOf(operand.type).size, operand.type);
  };
  if (l.codebook) add(PlaneRole::kCodebook, uint64_t{1} << l.bits, 4, DType::kF32);
  add_array(PlaneRole::kScales, l.s, l.group_count());
  add_array(PlaneRole::kZeroPoints, l.z, l.group_count());
  add_array(PlaneRole::kOffsets, l.o, l.group_count());
  add_array(PlaneRole::kColumnScales, l.t, l.cols);
  if (l.permutation) add(PlaneRole::kPermutation, l.cols, 4, DType::kU32);
  if (l.outliers == OutlierForm::kUnstructured) add(PlaneRole::kOutlierRows, l.rows + 1, 8, DType::kU64);
  if (l.outliers != OutlierForm::kNone) {
    add(PlaneRole::kOutlierColumns, l.outlier_count, static_cast<uint8_t>(l.column_bytes()),
        l.column_bytes() == 2 ? DType::kU16 : DType::kU32);
    const uint64_t values = l.outliers == OutlierForm::kColumns ? l.rows * l.outlier_count : l.outlier_count;
    add(PlaneRole::kOutlierValues, values, InfoOf(l.outlier_type).size, l.outlier_type);
  }
  return planes;
}

std::string Describe(const Linear& l, const std::vector<Linear>& children) {
  std::string out = fmt::format("{}-bit", l.bits);
  if (l.codebook) out += " codebook";
  const bool grouped =
      l.s.form > OperandForm::kConstant || l.z.form > OperandForm::kConstant || l.o.form > OperandForm::kConstant;
  if (grouped) {
    if (l.group_rows == l.rows && l.group_cols == l.cols) {
      out += " per tensor";
    } else if (l.group_cols == l.cols && l.group_rows == 1) {
      out += " per channel";
    } else {
      out += l.group_rows == 1 ? fmt::format(" g{}", l.group_cols) : fmt::format(" g{}x{}", l.group_rows, l.group_cols);
    }
  }
  size_t child = 0;
  const std::pair<const char*, const Operand*> operands[] = {{"s", &l.s}, {"z", &l.z}, {"o", &l.o}, {"t", &l.t}};
  for (const auto& [name, operand] : operands) {
    const bool nested = operand->form == OperandForm::kNested && child < children.size();
    out += DescribeOperand(name, *operand, nested ? &children[child] : nullptr);
    child += nested;
  }
  if (l.permutation) out += " permuted";
  if (l.outliers == OutlierForm::kUnstructured) {
    out += fmt::format(
        " +{:.3g}% outliers {}",
        100.0 * static_cast<double>(l.outlier_count) / (static_cast<double>(l.rows) * static_cast<double>(l.cols)),
        InfoOf(l.outlier_type).name);
  } else if (l.outliers == OutlierForm::kColumns) {
    out += fmt::format(" +{} outlier columns {}", l.outlier_count, InfoOf(l.outlier_type).name);
  }
  if (l.arithmetic != DType::kF32) out += fmt::format(" in {}", InfoOf(l.arithmetic).name);
  if (l.result != DType::kF32) out += fmt::format(" to {}", InfoOf(l.result).name);
  return out;
}

}  // namespace ingot

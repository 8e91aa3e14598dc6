// The part of the validation pass that looks at one encoding's payload and planes (spec/ENCODINGS.md).
#include <algorithm>
#include <bit>

#include "format/checked.h"
#include "format/index_checker.h"

namespace ingot {
namespace {

struct Context {
  const Index& index;
  const EncodingRecord encoding;
  const std::string& place;
  Report& report;

  template <typename... Args>
  bool Refuse(std::string_view rule, fmt::format_string<Args...> text, Args&&... args) const {
    report.Add(rule, place, text, std::forward<Args>(args)...);
    return false;
  }
};

bool IsType(DType type) { return static_cast<uint8_t>(type) <= 2; }

// R-LIN-1, R-LIN-4, R-LIN-5 and the reserved bytes: what each byte may be, whatever the others are.
bool CheckFields(const Context& c, ByteSpan payload, const Linear& l) {
  const auto byte = [&](size_t at) { return std::to_integer<unsigned>(payload[at]); };
  if (l.bits < 1 || l.bits > 8 || !IsType(l.arithmetic) || !IsType(l.result) || byte(3) > 1 || byte(4) > 1 ||
      byte(5) > 2 || !IsType(l.outlier_type)) {
    return c.Refuse("R-LIN-1", "bits {}, arithmetic {}, result {}, codebook {}, permutation {}, outliers {} of type {}",
                    l.bits, byte(1), byte(2), byte(3), byte(4), byte(5), byte(6));
  }
  const std::pair<char, const Operand*> operands[] = {{'s', &l.s}, {'z', &l.z}, {'o', &l.o}, {'t', &l.t}};
  bool reserved = byte(7) == 0;
  for (size_t i = 0; i < 4; ++i) {
    const auto& [name, operand] = operands[i];
    const bool array = operand->form == OperandForm::kArray, constant = operand->form == OperandForm::kConstant;
    const uint32_t bits = std::bit_cast<uint32_t>(operand->constant);
    const bool form_fits = operand->form <= (name == 't' ? OperandForm::kArray : OperandForm::kNested);
    const bool type_fits = array ? IsType(operand->type) : operand->type == DType::kF32;
    if (!form_fits || !type_fits || (!constant && bits != 0)) {
      return c.Refuse("R-LIN-4", "operand {}: form {}, type {}, constant {:#x}", name, static_cast<int>(operand->form),
                      static_cast<int>(operand->type), bits);
    }
    const uint32_t neutral = name == 's' || name == 't' ? 0x3F800000u : 0u;
    if (constant && bits == neutral)
      return c.Refuse("R-LIN-5", "operand {} is the constant {}, which is the same as absent", name, operand->constant);
    reserved &= Load<uint16_t>(payload.data() + 48 + 8 * i + 2) == 0;
  }
  if (!reserved) return c.Refuse("R-IDX-7", "the reserved bytes of the payload are not zero");
  return true;
}

// R-LIN-2, R-LIN-3, R-LIN-6, R-LIN-8: sizes against each other.
bool CheckSizes(const Context& c, const Linear& l, uint64_t elements, bool root) {
  const auto product = CheckedMul(l.rows, l.cols);
  const bool indexed = l.permutation || l.outliers != OutlierForm::kNone;
  if (l.rows < 1 || l.cols < 1 || !product || *product >= kMaxMatrixSize || (indexed && l.cols >= kMaxIndexedColumns) ||
      (root && *product != elements)) {
    return c.Refuse("R-LIN-2", "a view of {} x {} for {} elements", l.rows, l.cols, elements);
  }
  if (l.group_rows < 1 || l.group_rows > l.rows || l.group_cols < 1 || l.group_cols > l.cols) {
    return c.Refuse("R-LIN-3", "groups of {} x {} in a view of {} x {}", l.group_rows, l.group_cols, l.rows, l.cols);
  }
  for (const Operand* operand : {&l.s, &l.z, &l.o, &l.t}) {
    const uint64_t count = operand == &l.t ? l.cols : l.group_count();
    if (operand->form >= OperandForm::kArray && count <= 1)
      return c.Refuse("R-LIN-6", "an operand of one element that is no constant");
  }
  const uint64_t most = l.outliers == OutlierForm::kNone           ? 0
                        : l.outliers == OutlierForm::kUnstructured ? *product
                                                                   : l.cols;
  if (l.outlier_count > most || (l.outlier_count == 0) != (l.outliers == OutlierForm::kNone) ||
      (l.outliers == OutlierForm::kNone && l.outlier_type != DType::kF32)) {
    return c.Refuse("R-LIN-8", "{} outliers of kind {}, type {}, expected at most {}", l.outlier_count,
                    static_cast<int>(l.outliers), static_cast<int>(l.outlier_type), most);
  }
  return true;
}

bool CheckNested(const Context& c, const Linear& l, const Linear& parent) {
  if (l.result != DType::kF32 || l.permutation || l.t.form != OperandForm::kAbsent ||
      l.outliers != OutlierForm::kNone) {
    return c.Refuse("R-NEST-1", "a nested encoding with a result type, permutation, column scale or outliers");
  }
  const uint64_t down = parent.groups_down(), across = parent.groups_across();
  const bool fits = (l.rows == down && l.cols == across) || (l.rows == 1 && l.cols == parent.group_count());
  if (!fits) {
    return c.Refuse("R-NEST-2", "a view of {} x {}, expected {} x {} or 1 x {}", l.rows, l.cols, down, across,
                    parent.group_count());
  }
  return true;
}

bool CheckPlanes(const Context& c, const Linear& l, bool nested) {
  const EncodingRecord& e = c.encoding;
  const std::vector<PlaneSpec> specs = PlanesOf(l, nested);
  if (e.plane_count != specs.size() || e.child_count != l.child_count()) {
    return c.Refuse("R-ENC-5", "{} planes and {} children, expected {} and {}", e.plane_count, e.child_count,
                    specs.size(), l.child_count());
  }
  for (size_t i = 0; i < specs.size(); ++i) {
    const uint64_t size = c.index.plane(static_cast<uint32_t>(e.first_plane + i)).size;
    if (size != specs[i].size)
      return c.Refuse("R-ENC-6", "plane {} ({}) has {} bytes, expected {}", i, NameOf(specs[i].role), size,
                      specs[i].size);
  }
  return true;
}

bool CheckRaw(const Context& c, DType dtype, uint64_t elements) {
  const EncodingRecord& e = c.encoding;
  if (e.payload_size != 0 && !c.index.header().newer_minor())
    return c.Refuse("R-ENC-4", "a raw encoding with a payload of {} bytes", e.payload_size);
  const uint32_t planes = elements != 0 ? 1 : 0;
  if (e.plane_count != planes || e.child_count != 0) {
    return c.Refuse("R-ENC-5", "a raw encoding with {} planes and {} children, expected {} and 0", e.plane_count,
                    e.child_count, planes);
  }
  const uint64_t expected = elements * InfoOf(dtype).size;
  if (planes != 0 && c.index.plane(e.first_plane).size != expected) {
    return c.Refuse("R-ENC-6", "its plane has {} bytes, expected {}", c.index.plane(e.first_plane).size, expected);
  }
  return true;
}

bool CheckForeign(const Context& c, uint64_t elements) {
  const EncodingRecord& e = c.encoding;
  if (e.payload_size < kForeignPayloadSize)
    return c.Refuse("R-ENC-4", "a payload of {} bytes, expected at least {}", e.payload_size, kForeignPayloadSize);
  const Foreign f = DecodeForeign(c.index.payload(e));
  if (f.block_bytes < 1 || f.block_elements < 1 || f.elements != elements || f.elements % f.block_elements != 0) {
    return c.Refuse("R-FOR-1", "{} elements in blocks of {}, {} bytes each, for {} elements", f.elements,
                    f.block_elements, f.block_bytes, elements);
  }
  const bool printable = std::all_of(f.name.begin(), f.name.end(), [](char ch) { return ch > 0x20 && ch < 0x7F; });
  if (f.name.empty() || f.name.size() > 255 || !printable)
    return c.Refuse("R-FOR-2", "a block type name of {} bytes: '{}'", f.name.size(), Escape(f.name));
  if (e.plane_count != 1 || e.child_count != 0) {
    return c.Refuse("R-ENC-5", "a foreign encoding with {} planes and {} children, expected 1 and 0", e.plane_count,
                    e.child_count);
  }
  const auto expected = CheckedMul(f.elements / f.block_elements, f.block_bytes);
  const uint64_t size = c.index.plane(e.first_plane).size;
  if (!expected || size != *expected)
    return c.Refuse("R-ENC-6", "its plane has {} bytes, expected {}", size, expected.value_or(UINT64_MAX));
  return true;
}

}  // namespace

bool CheckEncodingContent(const Index& index, uint32_t number, const std::string& place, DType dtype, uint64_t elements,
                          const Linear* parent, Report& report) {
  const Context c{index, index.encoding(number), place, report};
  const EncodingRecord& e = c.encoding;
  if (parent != nullptr && !e.is(EncodingKind::kLinear))
    return c.Refuse("R-NEST-1", "a nested encoding of kind {}", e.kind);
  if (elements == 0 && !e.is(EncodingKind::kRaw))
    return c.Refuse("R-RAW-1", "kind {} for a tensor without elements", e.kind);
  if (e.is(EncodingKind::kRaw)) return CheckRaw(c, dtype, elements);
  if (e.is(EncodingKind::kForeign)) return CheckForeign(c, elements);

  const ByteSpan payload = index.payload(e);
  if (payload.size() < kLinearPayloadSize || (payload.size() > kLinearPayloadSize && !index.header().newer_minor())) {
    return c.Refuse("R-ENC-4", "a payload of {} bytes, expected {}", payload.size(), kLinearPayloadSize);
  }
  const Linear l = DecodeLinear(payload);
  if (parent == nullptr && !InfoOf(dtype).is_float)
    return c.Refuse("R-LIN-9", "a linear encoding of a tensor of {}", InfoOf(dtype).name);
  if (!CheckFields(c, payload, l) || !CheckSizes(c, l, elements, parent == nullptr)) return false;
  if (parent != nullptr && !CheckNested(c, l, *parent)) return false;
  if (!CheckPlanes(c, l, parent != nullptr)) return false;
  for (uint32_t child = number - e.child_count; child < number; ++child) {
    const std::string child_place = fmt::format("{}, child {}", place, child);
    if (!CheckEncodingContent(index, child, child_place, dtype, l.group_count(), &l, report)) return false;
  }
  return true;
}

}  // namespace ingot

// optimum-quanto 0.2.7. qint8, qfloat8: W = RN(scale * data). qint2, qint4: W = RN(RN(scale * q) - shift), or, with an
// integer shift, RN(scale * (q - shift)); rounded to the type of the scales.
#include "convert/import/block_codes.h"
#include "convert/import/float8.h"
#include "convert/import/grouped_import.h"
#include "convert/import/importers.h"
#include "convert/import/model_shapes.h"
#include "format/checked.h"
#include "format/text.h"

namespace ingot {
namespace {

// What the map of modules says of one ("qint4"); empty if there is no map or no such module.
Result<std::string> MappedType(const Checkpoint& c, const std::string& module) {
  auto entry = c.quanto_map().Object(module);
  if (!entry) return Propagate(entry);
  auto type = entry->Text("weights");
  if (!type) return Propagate(type);
  return type->value_or("");
}

Status Import8Bit(const Checkpoint& c, const std::string& p, const SourceTensor& data, Imports& imports) {
  const auto type_name = MappedType(c, p);
  if (!type_name) return Propagate(type_name);
  const bool is_int = data.dtype == DType::kI8;
  std::vector<float> book = is_int ? std::vector<float>{} : Float8Codebook(data.dtype);
  const bool fits = is_int ? *type_name == "qint8" : type_name->starts_with("qfloat8");
  if ((!is_int && book.empty()) || (!fits && !type_name->empty()))
    return c.Refuse(data.name, "is {}; the map of modules says {}", InfoOf(data.dtype).name, Quote(*type_name));
  if (data.shape.empty() || data.shape.size() > 8) return c.Refuse(data.name, "must have dimensions");
  const auto elements = CheckedProduct(data.shape);
  if (*elements == 0) return c.Refuse(data.name, "is empty");
  const uint64_t rows = data.shape.front(), cols = *elements / rows;
  const SourceTensor* scale = c.Find(p + ".weight._scale");
  if (scale == nullptr) return c.Refuse(p + ".weight._scale", "missing, though {} is there", Quote(data.name));
  Checkpoint::Shape scale_shape(scale->shape.size(), 1);
  const bool one = CheckedProduct(scale->shape) == 1;
  if (!one) {
    scale_shape.assign(data.shape.size(), 1);
    scale_shape[0] = rows;
  }
  const auto checked = c.Need(scale->name, {DType::kF16, DType::kBF16, DType::kF32}, scale_shape);
  if (!checked) return Propagate(checked);
  const DType type = scale->dtype;
  PartPlan plan = PlanRows(8, rows, cols, cols, type);
  if (one) plan.linear.group_rows = rows;
  plan.linear.s = Operand::Array(type);
  if (is_int) plan.linear.z = Operand::Constant(128.0f);
  plan.linear.codebook = !is_int;
  plan.codebook = book;
  GroupedLayout layout;
  layout.codes = RowCodes{&c.source(), &data, CodeOrder::kStream, 8, cols, cols, is_int ? uint8_t{0x80} : uint8_t{0}};
  layout.s = ArrayOperand(c.source(), *scale);
  layout.value = [type, book](uint8_t q, float s, float, float) {
    return RoundTo(type, s * (book.empty() ? static_cast<float>(q - 128) : book[q]));
  };
  std::string text = is_int ? "quanto qint8" : "quanto qfloat8";
  auto tensor = std::make_shared<GroupedImport>(std::move(text), std::move(plan), std::move(layout));
  return imports.Add(p + ".weight", type, data.shape, tensor, {&data, scale});
}

// The columns that share a scale, as quanto chooses them for K inputs: K itself where there are no groups.
uint64_t GroupSize(uint64_t inputs) {
  if (inputs <= 128) return inputs;
  for (uint64_t group : {128, 96, 64, 32}) {
    if (inputs % group == 0) return group;
  }
  return inputs;
}

// The width of the codes: as the map says, else as their number tells.
Result<int> FindBits(const Checkpoint& c, const std::string& p, const SourceTensor& data, uint64_t rows) {
  const auto type_name = MappedType(c, p);
  if (!type_name) return Propagate(type_name);
  const uint64_t packed = data.shape[0];
  for (int bits : {2, 4}) {
    const bool fits = packed == CeilDiv(rows, static_cast<uint64_t>(8 / bits));
    const bool named = *type_name == fmt::format("qint{}", bits);
    if (named && !fits)
      return c.Refuse(data.name, "{} rows of {} codes are packed in {} rows, not {}", rows, *type_name,
                      CeilDiv(rows, static_cast<uint64_t>(8 / bits)), packed);
    if (named || (type_name->empty() && fits && rows > 2)) return bits;
  }
  return c.Refuse(data.name, "{} rows of codes in {} packed ones; the map of modules says {}", rows, packed,
                  Quote(*type_name));
}

Status ImportPacked(const Checkpoint& c, const std::string& p, const SourceTensor& data, Imports& imports) {
  if (data.dtype != DType::kU8 || data.shape.size() != 2 || data.size == 0)
    return c.Refuse(data.name, "must be U8 of two dimensions");
  const auto scale = c.Need(p + ".weight._scale", {DType::kF16, DType::kBF16, DType::kF32}, {std::nullopt, 1});
  if (!scale) return Propagate(scale);
  const uint64_t code_rows = (*scale)->shape[0], group = data.shape[1];
  const auto bits = FindBits(c, p, data, code_rows);
  if (!bits) return Propagate(bits);
  const SourceTensor* shift = c.Find(p + ".weight._shift");
  if (shift == nullptr) shift = c.Find(p + ".weight._zeropoint");  // until 0.2.2
  if (shift == nullptr) return c.Refuse(p + ".weight._shift", "missing, though {} is there", Quote(data.name));
  const DType type = (*scale)->dtype;
  const bool integer = shift->dtype == DType::kI8 || shift->dtype == DType::kU8;
  const auto checked = c.Need(shift->name, {integer ? shift->dtype : type}, {code_rows, 1});
  if (!checked) return Propagate(checked);
  const auto shape = FindShape(c, p, code_rows * group, [&](uint64_t cols) { return GroupSize(cols) == group; });
  if (!shape) return Propagate(shape);

  PartPlan plan = PlanRows(*bits, shape->rows, shape->cols, group, type);
  plan.linear.s = Operand::Array(type);
  GroupedLayout layout;
  BlockCodes codes{&c.source(), &data, 1, data.shape[0] * group, {}, (1u << *bits) - 1};
  for (int at = 0; at < 8; at += *bits) codes.shifts.push_back(at);
  layout.codes = std::move(codes);
  layout.s = ArrayOperand(c.source(), **scale);
  if (integer) {
    // Signed bytes: their codes are 128 more.
    NestCodes(plan, 1, 8, -128.0f);
    layout.z = CodesOperand(
        [&source = c.source(), shift]() -> Result<std::vector<uint8_t>> {
          const auto bytes = ReadAll(source, *shift);
          if (!bytes) return Propagate(bytes);
          std::vector<uint8_t> out;
          for (std::byte b : *bytes) out.push_back(std::to_integer<uint8_t>(b ^ std::byte{0x80}));
          return out;
        },
        -128.0f);
    layout.value = [type](uint8_t q, float s, float z, float) {
      return RoundTo(type, s * (static_cast<float>(q) - z));
    };
  } else {
    plan.linear.arithmetic = type;
    plan.linear.o = Operand::Array(type);
    layout.o = ArrayOperand(c.source(), *shift);
    layout.value = [type](uint8_t q, float s, float, float o) {
      return RoundTo(type, RoundTo(type, s * static_cast<float>(q)) - o);
    };
  }
  std::string text = fmt::format("quanto qint{} g{}", *bits, group);
  auto tensor = std::make_shared<GroupedImport>(std::move(text), std::move(plan), std::move(layout));
  return imports.Add(p + ".weight", type, {shape->rows, shape->cols}, tensor, {&data, *scale, shift});
}

}  // namespace

Status ImportQuanto(const Checkpoint& checkpoint, Imports& imports) {
  for (const std::string& weight : checkpoint.Modules(".weight._data")) {
    const SourceTensor* data = checkpoint.Find(weight + ".weight._data");
    if (auto done = Import8Bit(checkpoint, weight, *data, imports); !done) return done;
  }
  for (const std::string& weight : checkpoint.Modules(".weight._data._data")) {
    const SourceTensor* data = checkpoint.Find(weight + ".weight._data._data");
    if (auto done = ImportPacked(checkpoint, weight, *data, imports); !done) return done;
  }
  for (std::string_view suffix : {".weight._scale", ".weight._shift"}) {
    for (const std::string& module : checkpoint.Modules(suffix)) {
      const SourceTensor* tensor = checkpoint.Find(module + std::string(suffix));
      if (!imports.IsTaken(*tensor)) return checkpoint.Refuse(tensor->name, "the codes of its module are missing");
    }
  }
  return {};
}

}  // namespace ingot

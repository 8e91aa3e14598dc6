// HQQ 0.2.8: W = RN(RN(q - zero) * scale), in the type of the scales. Codes are packed across rows of a matrix of
// groups: [N * K / group, group] for axis 1, [group, N * K / group] for axis 0. From safetensors, or qmodel.pt, whose
// plain values are metadata of the source.
#include "convert/import/block_codes.h"
#include "convert/import/grouped_import.h"
#include "convert/import/importers.h"
#include "format/checked.h"
#include "format/text.h"

namespace ingot {
namespace {

// What a module says of itself beside its tensors; each is a small tensor, or a plain value.
class ModuleValues {
 public:
  ModuleValues(const Checkpoint& checkpoint, std::string prefix) : c_(checkpoint), prefix_(std::move(prefix)) {}

  // Whole numbers, one or several; empty if there is no such value.
  Result<std::vector<int64_t>> Integers(std::string_view key) const;
  Result<std::string> Text(std::string_view key) const;

 private:
  const MetadataValue* Plain(std::string_view key) const {
    const std::string name = prefix_ + std::string(key);
    for (const auto& [known, value] : c_.source().metadata()) {
      if (known == name) return &value;
    }
    return nullptr;
  }

  const Checkpoint& c_;
  std::string prefix_;
};

// One number of the type of a tensor or of a plain value; false for other types.
bool LoadInteger(const std::byte* at, DType type, int64_t& out) {
  switch (type) {
    case DType::kI64:
      out = Load<int64_t>(at);
      return true;
    case DType::kI32:
      out = Load<int32_t>(at);
      return true;
    case DType::kU8:
    case DType::kBool:
      out = Load<uint8_t>(at);
      return true;
    case DType::kF32:  // 1.58 bits are 2
      out = static_cast<int64_t>(Load<float>(at) == 1.58f ? 2.0f : Load<float>(at));
      return Load<float>(at) == 1.58f;
    default:
      return false;
  }
}

bool LoadInteger(const std::byte* at, MetadataType type, int64_t& out) {
  if (type == MetadataType::kI64 || type == MetadataType::kU64) return LoadInteger(at, DType::kI64, out);
  if (type == MetadataType::kBool) return LoadInteger(at, DType::kBool, out);
  out = 2;
  return type == MetadataType::kF64 && Load<double>(at) == 1.58;
}

Result<std::vector<int64_t>> ModuleValues::Integers(std::string_view key) const {
  constexpr uint64_t kMost = 8;
  std::vector<int64_t> out;
  const std::string name = prefix_ + std::string(key);
  const auto wrong = [&] { return c_.Refuse(name, "must be whole numbers, at most {}", kMost); };
  if (const SourceTensor* tensor = c_.Find(name)) {
    const uint64_t size = InfoOf(tensor->dtype).size;
    if (tensor->size > kMost * size) return wrong();
    const auto bytes = ReadAll(c_.source(), *tensor);
    if (!bytes) return Propagate(bytes);
    for (uint64_t at = 0; at < bytes->size(); at += size) {
      if (!LoadInteger(bytes->data() + at, tensor->dtype, out.emplace_back())) return wrong();
    }
  } else if (const MetadataValue* value = Plain(key)) {
    const bool array = value->type == MetadataType::kArray;
    const MetadataType type = array ? value->element_type : value->type;
    const uint64_t size = type == MetadataType::kBool ? 1 : 8;
    if (value->bytes.size() > kMost * size) return wrong();
    for (uint64_t at = 0; at + size <= value->bytes.size(); at += size) {
      if (!LoadInteger(value->bytes.data() + at, type, out.emplace_back())) return wrong();
    }
  }
  return out;
}

Result<std::string> ModuleValues::Text(std::string_view key) const {
  const std::string name = prefix_ + std::string(key);
  if (const SourceTensor* tensor = c_.Find(name)) {
    if (tensor->dtype != DType::kU8 || tensor->size > 256) return c_.Refuse(name, "must be a text as U8");
    const auto bytes = ReadAll(c_.source(), *tensor);
    if (!bytes) return Propagate(bytes);
    return std::string(AsText(*bytes));
  }
  const MetadataValue* value = Plain(key);
  return value == nullptr || value->type != MetadataType::kString ? std::string() : std::string(AsText(value->bytes));
}

// A module's numbers, checked against each other.
struct HqqShape {
  int bits = 4;
  uint64_t rows = 0, cols = 0, group = 0;
  bool axis0 = false;
  uint64_t code_rows = 0, code_cols = 0;  // of the matrix that is packed
};

Result<HqqShape> ReadShape(const Checkpoint& c, const ModuleValues& values, const std::string& name) {
  const auto bits = values.Integers("nbits"), group = values.Integers("group_size"), axis = values.Integers("axis"),
             shape = values.Integers("shape"), quant_scale = values.Integers("quant_scale"),
             quant_zero = values.Integers("quant_zero");
  for (const auto* value : {&bits, &group, &axis, &shape, &quant_scale, &quant_zero}) {
    if (!*value) return Propagate(*value);
  }
  const auto is_set = [](const std::vector<int64_t>& v) { return !v.empty() && v[0] != 0; };
  if (is_set(*quant_scale) || is_set(*quant_zero))
    return c.Refuse(name, "its scales or zero-points are quantized again, which HQQ has given up");
  if (bits->size() != 1 || shape->size() != 2 || axis->size() > 1 || group->size() > 1)
    return c.Refuse(name, "nbits, shape, axis or group_size of its module are missing or no single numbers");
  HqqShape out;
  constexpr int64_t kWidths[] = {1, 2, 3, 4, 5, 6, 8};
  if (std::find(std::begin(kWidths), std::end(kWidths), (*bits)[0]) == std::end(kWidths))
    return c.Refuse(name, "nbits is {}, must be 8, 6, 5, 4, 3, 2, 1.58 or 1", (*bits)[0]);
  out.bits = static_cast<int>((*bits)[0]);
  const int64_t ax = axis->empty() ? 1 : (*axis)[0];
  if (ax != 0 && ax != 1) return c.Refuse(name, "axis is {}, must be 0 or 1", ax);
  out.axis0 = ax == 0;
  const int64_t n = (*shape)[0], k = (*shape)[1], g = group->empty() ? k : (*group)[0];
  constexpr int64_t kMost = int64_t{1} << 40;
  if (n < 1 || k < 1 || g < 1 || n > kMost || k > kMost || g > kMost)
    return c.Refuse(name, "shape {} by {} in groups of {}", n, k, g);
  out.rows = static_cast<uint64_t>(n);
  out.cols = static_cast<uint64_t>(k);
  out.group = static_cast<uint64_t>(g);
  const auto elements = CheckedMul(out.rows, out.cols);
  if (!elements || *elements >= kMaxMatrixSize || *elements % out.group != 0)
    return c.Refuse(name, "{} by {} codes are no whole groups of {}", n, k, g);
  const uint64_t groups = *elements / out.group;
  out.code_rows = out.axis0 ? out.group : groups;
  out.code_cols = out.axis0 ? groups : out.group;
  return out;
}

// Where the codes of the blocks lie in a packed element, the first block first.
BlockCodes CodesOf(const Checkpoint& c, const SourceTensor& packed, const HqqShape& h) {
  const int bits = h.bits > 4 ? 8 : h.bits;
  BlockCodes codes{&c.source(), &packed, bits == 3 ? 4u : 1u, 0, {}, (1u << bits) - 1};
  const int count = bits == 3 ? 10 : 8 / bits, top = bits == 3 ? 30 : 8;
  for (int i = 1; i <= count; ++i) codes.shifts.push_back(top - bits * i);
  codes.block = CeilDiv(h.code_rows, static_cast<uint64_t>(count)) * h.code_cols;
  return codes;
}

Status ImportModule(const Checkpoint& c, const std::string& p, Imports& imports) {
  const std::string prefix = p.empty() ? "" : p + ".";
  const SourceTensor& packed = *c.Find(prefix + "W_q");
  const ModuleValues values(c, prefix);
  const auto h = ReadShape(c, values, packed.name);
  if (!h) return Propagate(h);
  BlockCodes codes = CodesOf(c, packed, *h);
  if (packed.size != codes.block * codes.element_size)
    return c.Refuse(packed.name, "has {} bytes; {} by {} codes of {} bits are packed in {}", packed.size, h->code_rows,
                    h->code_cols, h->bits, codes.block * codes.element_size);
  const Checkpoint::Shape shape = h->axis0 ? Checkpoint::Shape{1, h->code_cols} : Checkpoint::Shape{h->code_rows, 1};
  const auto scale = c.Need(prefix + "scale", {DType::kF16, DType::kBF16, DType::kF32}, shape);
  if (!scale) return Propagate(scale);
  const DType type = (*scale)->dtype;
  const auto zero = c.Need(prefix + "zero", {type}, shape);
  if (!zero) return Propagate(zero);
  const auto compute = values.Text("compute_dtype");
  if (!compute) return Propagate(compute);
  const std::string_view expected = type == DType::kF16 ? "float16" : type == DType::kBF16 ? "bfloat16" : "float32";
  if (!compute->empty() && *compute != expected && *compute != "torch." + std::string(expected))
    return c.Refuse(prefix + "compute_dtype", "is {}, the scales are {}", Quote(*compute), InfoOf(type).name);

  const bool whole = h->cols % h->group == 0;  // else groups run over the ends of rows
  PartPlan plan = h->axis0 ? PlanRows(h->bits > 4 ? 8 : h->bits, h->code_rows, h->code_cols, 1, type)
                           : PlanRows(h->bits > 4 ? 8 : h->bits, whole ? h->rows : 1,
                                      whole ? h->cols : h->rows * h->cols, h->group, type);
  if (h->axis0) plan.linear.group_rows = h->code_rows;
  plan.linear.arithmetic = type;
  plan.linear.s = Operand::Array(type);
  plan.linear.z = Operand::Array(type);
  GroupedLayout layout;
  layout.codes = std::move(codes);
  layout.s = ArrayOperand(c.source(), **scale);
  layout.z = ArrayOperand(c.source(), **zero);
  layout.value = [type](uint8_t q, float s, float z, float) {
    return RoundTo(type, RoundTo(type, static_cast<float>(q) - z) * s);
  };
  for (std::string_view key : {"shape", "nbits", "group_size", "axis", "packing", "compute_dtype", "unpack_view_dtype",
                               "view_as_float", "quant_scale", "quant_zero", "offload_meta", "channel_wise", "optimize",
                               "round_zero", "stores_quant_config", "encoded_state_dict"}) {
    imports.Drop(c.Find(prefix + std::string(key)));
  }
  std::string text = fmt::format("HQQ {}-bit g{} axis {}", h->bits, h->group, h->axis0 ? 0 : 1);
  auto tensor = std::make_shared<GroupedImport>(std::move(text), std::move(plan), std::move(layout));
  return imports.Add(prefix + "weight", type, {h->rows, h->cols}, tensor, {&packed, *scale, *zero});
}

}  // namespace

Status ImportHqq(const Checkpoint& checkpoint, Imports& imports) {
  for (const std::string& module : checkpoint.Modules(".W_q")) {
    // A plain weight may have the name, too.
    const bool alone = checkpoint.Find(module + ".scale") == nullptr && checkpoint.Find(module + ".zero") == nullptr;
    if (alone && !checkpoint.quantization().Has("quant_method")) continue;
    if (auto done = ImportModule(checkpoint, module, imports); !done) return done;
  }
  return {};
}

}  // namespace ingot

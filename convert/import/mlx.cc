// MLX's affine quantization (0.32, mlx.core.quantize): NAME.weight U32 [.., K * bits / 32], a stream of codes in each
// row; NAME.scales and NAME.biases [.., K / group_size]. W = RN(RN(scale * q) + bias), in the type of the scales.
#include <algorithm>

#include "convert/import/grouped_import.h"
#include "convert/import/importers.h"
#include "format/checked.h"
#include "format/text.h"

namespace ingot {
namespace {

struct MlxFormat {
  int64_t bits = 4, group_size = 64;
};

// Overrides what `config` says.
Status ReadFormat(const Config& config, MlxFormat& format) {
  const auto mode = config.Text("mode");
  if (!mode) return Propagate(mode);
  if (mode->value_or("affine") != "affine")
    return Fail(ErrorCode::kBadInput, "{}: mode is {}; affine can be imported", config.what(), Quote(**mode));
  const std::pair<std::string_view, int64_t*> members[] = {{"bits", &format.bits}, {"group_size", &format.group_size}};
  for (const auto& [key, member] : members) {
    const auto value = config.Integer(key);
    if (!value) return Propagate(value);
    if (*value) *member = **value;
  }
  const int64_t bits = format.bits;
  if (bits != 2 && bits != 3 && bits != 4 && bits != 5 && bits != 6 && bits != 8)
    return Fail(ErrorCode::kBadInput, "{}: bits is {}, must be 2, 3, 4, 5, 6 or 8", config.what(), bits);
  if (format.group_size < 1 || format.group_size > (1 << 20))
    return Fail(ErrorCode::kBadInput, "{}: group_size is {}", config.what(), format.group_size);
  return {};
}

Status ImportModule(const Checkpoint& c, MlxFormat format, const std::string& p, Imports& imports) {
  const auto own = c.quantization().json().find(p);
  if (own != c.quantization().json().end() && own->is_object()) {
    const Config config(*own, c.quantization().what() + ": " + p);
    if (auto read = ReadFormat(config, format); !read) return read;
  }
  const SourceTensor* weight = c.Find(p + ".weight");
  if (weight == nullptr || weight->dtype != DType::kU32 || weight->shape.size() < 2)
    return c.Refuse(p + ".weight", "must be there as U32 of two or more dimensions, as {} is", Quote(p + ".biases"));
  const int bits = static_cast<int>(format.bits);
  const auto group = static_cast<uint64_t>(format.group_size);
  const uint64_t words = weight->shape.back();
  const auto scaled = CheckedMul(words, 32);
  if (words == 0 || !scaled || *scaled % format.bits != 0 || *scaled / format.bits % group != 0) {
    return c.Refuse(p + ".weight", "rows of {} words are no whole groups of {} codes of {} bits", words, group, bits);
  }
  const uint64_t cols = *scaled / format.bits;
  std::vector<uint64_t> shape(weight->shape.begin(), weight->shape.end() - 1);
  const auto rows = CheckedProduct(shape);
  if (*rows == 0) return c.Refuse(p + ".weight", "is empty");
  Checkpoint::Shape groups(shape.begin(), shape.end());
  groups.push_back(cols / group);
  shape.push_back(cols);
  const auto scales = c.Need(p + ".scales", {DType::kF16, DType::kBF16, DType::kF32}, groups);
  if (!scales) return Propagate(scales);
  const DType type = (*scales)->dtype;
  const auto biases = c.Need(p + ".biases", {type}, groups);
  if (!biases) return Propagate(biases);

  PartPlan plan = PlanRows(bits, *rows, cols, group, type);
  plan.linear.arithmetic = type;
  plan.linear.s = Operand::Array(type);
  plan.linear.o = Operand::Array(type);
  GroupedLayout layout;
  layout.codes = RowCodes{&c.source(), weight, CodeOrder::kStream, bits, cols, 4 * words};
  layout.s = ArrayOperand(c.source(), **scales);
  layout.o = ArrayOperand(c.source(), **biases, true);
  layout.value = [type](uint8_t q, float s, float, float o) {
    return RoundTo(type, RoundTo(type, static_cast<float>(q) * s) + o);
  };
  std::string text = fmt::format("MLX {}-bit g{}", bits, group);
  auto tensor = std::make_shared<GroupedImport>(std::move(text), std::move(plan), std::move(layout));
  return imports.Add(p + ".weight", type, std::move(shape), tensor, {weight, *scales, *biases});
}

}  // namespace

Status ImportMlx(const Checkpoint& checkpoint, Imports& imports) {
  const auto modules = checkpoint.Modules(".biases");
  const bool quantized = std::any_of(modules.begin(), modules.end(), [&](const std::string& p) {
    const SourceTensor* weight = checkpoint.Find(p + ".weight");
    return weight != nullptr && weight->dtype == DType::kU32;
  });
  if (!quantized && checkpoint.quantization().empty()) return {};  // biases of something else
  if (checkpoint.quantization().empty()) {
    return Fail(ErrorCode::kBadInput,
                "{}: MLX tensors, but no config.json beside them says how they are stored; convert the folder",
                checkpoint.path());
  }
  MlxFormat format;
  if (auto read = ReadFormat(checkpoint.quantization(), format); !read) return read;
  for (const std::string& module : modules) {
    if (auto done = ImportModule(checkpoint, format, module, imports); !done) return done;
  }
  for (const std::string& module : checkpoint.Modules(".scales")) {
    if (checkpoint.Find(module + ".biases") == nullptr)
      return checkpoint.Refuse(module + ".biases", "missing, though {} is there", Quote(module + ".scales"));
  }
  return {};
}

}  // namespace ingot

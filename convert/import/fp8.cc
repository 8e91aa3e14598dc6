// Block-scaled FP8 ("quant_method": "fp8", as DeepSeek V3 and transformers' fine-grained FP8 store it), and FP8 with
// one scale a tensor or row. W = RN(q * scale), rounded to the type of the scales; groups are blocks of rows and
// columns.
#include "convert/import/float8.h"
#include "convert/import/grouped_import.h"
#include "convert/import/importers.h"
#include "format/checked.h"

namespace ingot {
namespace {

struct BlockShape {
  uint64_t rows, cols;
};

Result<BlockShape> ReadBlockShape(const Config& config) {
  const nlohmann::json* const found = config.Find("weight_block_size");
  if (found == nullptr) return BlockShape{128, 128};
  const nlohmann::json& size = *found;
  const bool fits = size.is_array() && size.size() == 2 && size[0].is_number_unsigned() &&
                    size[1].is_number_unsigned() && size[0] > 0 && size[1] > 0;
  if (!fits)
    return Fail(ErrorCode::kBadInput, "{}: weight_block_size is {}, must be two positive numbers", config.what(),
                size.dump());
  return BlockShape{size[0].get<uint64_t>(), size[1].get<uint64_t>()};
}

Status ImportModule(const Checkpoint& c, const BlockShape& block, const std::string& p, const std::string& suffix,
                    Imports& imports) {
  const auto weight = c.Need(p + ".weight", {DType::kF8E4M3, DType::kF8E5M2}, {std::nullopt, std::nullopt});
  if (!weight) return Propagate(weight);
  const uint64_t rows = (*weight)->shape[0], cols = (*weight)->shape[1];
  if (rows == 0 || cols == 0) return c.Refuse(p + ".weight", "is empty");
  const SourceTensor* scale = c.Find(p + suffix);
  const auto elements = CheckedProduct(scale->shape);
  PartPlan plan = PlanRows(8, rows, cols, cols, scale->dtype);
  if (elements == 1) {
    plan.linear.group_rows = rows;
  } else if (suffix == ".weight_scale" && elements == rows && scale->shape[0] == rows) {
    plan.linear.group_rows = 1;
  } else {
    plan.linear.group_rows = std::min(block.rows, rows);
    plan.linear.group_cols = std::min(block.cols, cols);
  }
  const bool grouped = elements != 1 && !(suffix == ".weight_scale" && elements == rows);
  const Checkpoint::Shape shape = grouped ? Checkpoint::Shape{plan.linear.groups_down(), plan.linear.groups_across()}
                                          : Checkpoint::Shape(scale->shape.begin(), scale->shape.end());
  const auto checked = c.Need(p + suffix, {DType::kF32, DType::kBF16, DType::kF16}, shape);
  if (!checked) return Propagate(checked);
  plan.linear.codebook = true;
  plan.codebook = Float8Codebook((*weight)->dtype);
  plan.linear.s = Operand::Array(scale->dtype);
  GroupedLayout layout;
  layout.codes = RowCodes{&c.source(), *weight, CodeOrder::kStream, 8, cols, cols};
  layout.s = ArrayOperand(c.source(), *scale);
  layout.value = [book = plan.codebook, type = scale->dtype](uint8_t q, float s, float, float) {
    return RoundTo(type, book[q] * s);
  };
  const uint64_t step = grouped ? plan.linear.group_rows : 1;
  auto tensor = std::make_shared<GroupedImport>("FP8", std::move(plan), std::move(layout), step);
  return imports.Add(p + ".weight", scale->dtype, {rows, cols}, tensor, {*weight, scale});
}

}  // namespace

Status ImportFp8(const Checkpoint& checkpoint, Imports& imports) {
  const auto block = ReadBlockShape(checkpoint.quantization());
  if (!block) return Propagate(block);
  for (const std::string suffix : {".weight_scale_inv", ".weight_scale"}) {
    for (const std::string& module : checkpoint.Modules(suffix)) {
      if (auto done = ImportModule(checkpoint, *block, module, suffix, imports); !done) return done;
    }
  }
  return {};
}

}  // namespace ingot

// bitsandbytes 0.50: LLM.int8 and the 4-bit types.
// int8: W = RN32(RN32(q * SCB) * RN32(1/127)). 4 bits: W = RN_dtype(RN32(code[q] * A[block])), over the flattened
// weight; nested, A = RN32(RN32(map[absmax] * absmax2) + offset).
#include <array>
#include <bit>

#include "convert/import/grouped_import.h"
#include "convert/import/importers.h"
#include "convert/json_reader.h"
#include "convert/quantize/codebook.h"
#include "format/checked.h"
#include "format/text.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

constexpr float kInt8Scale = 7.874015718698502e-3f;  // RN32(1/127)

// What quant_state says of a weight.
struct QuantState {
  bool nf4 = true;
  uint64_t block = 64;
  DType dtype = DType::kF16;
  std::vector<uint64_t> shape;
  bool nested = false;
  uint64_t nested_block = 256;
  float nested_offset = 0.0f;
};

Result<DType> DTypeOf(const Config& config, std::string_view key) {
  const auto text = config.Text(key);
  if (!text) return Propagate(text);
  constexpr std::pair<std::string_view, DType> kNames[] = {
      {"float32", DType::kF32}, {"float16", DType::kF16}, {"bfloat16", DType::kBF16}};
  for (const auto& [name, type] : kNames) {
    if (text->value_or("") == name) return type;
  }
  return Fail(ErrorCode::kBadInput, "{}: {} is {}, must be float32, float16 or bfloat16", config.what(), key,
              Quote(text->value_or("")));
}

Result<uint64_t> PositiveOf(const Config& config, std::string_view key) {
  const auto value = config.Integer(key);
  if (!value) return Propagate(value);
  if (*value && **value > 0) return static_cast<uint64_t>(**value);
  return Fail(ErrorCode::kBadInput, "{}: {} must be a positive number", config.what(), key);
}

Result<QuantState> ReadQuantState(const Checkpoint& c, const SourceTensor& tensor) {
  constexpr uint64_t kMostBytes = 1 << 20;
  if (tensor.dtype != DType::kU8 || tensor.size > kMostBytes)
    return c.Refuse(tensor.name, "{} bytes of {}; a JSON text as U8 is expected", tensor.size,
                    InfoOf(tensor.dtype).name);
  const auto bytes = ReadAll(c.source(), tensor);
  if (!bytes) return Propagate(bytes);
  auto json = ParseJson(AsText(*bytes), c.path() + ": " + Escape(tensor.name));
  if (!json) return Propagate(json);
  if (!json->is_object()) return c.Refuse(tensor.name, "is not a JSON object");
  const Config config(std::move(*json), c.path() + ": " + Escape(tensor.name));
  QuantState state;
  const auto type = config.Text("quant_type");
  if (!type) return Propagate(type);
  if (*type != "nf4" && *type != "fp4")
    return c.Refuse(tensor.name, "quant_type is {}, must be nf4 or fp4", Quote(type->value_or("")));
  state.nf4 = *type == "nf4";
  const auto block = PositiveOf(config, "blocksize");
  if (!block) return Propagate(block);
  state.block = *block;
  if (!std::has_single_bit(state.block) || state.block < 32 || state.block > 4096)
    return c.Refuse(tensor.name, "blocksize is {}, must be a power of two from 32 to 4096", state.block);
  const auto dtype = DTypeOf(config, "dtype");
  if (!dtype) return Propagate(dtype);
  state.dtype = *dtype;
  const nlohmann::json* const shape = config.Find("shape");
  if (shape == nullptr || !shape->is_array() || shape->size() > 8)
    return c.Refuse(tensor.name, "shape must be a list of up to 8 numbers");
  for (const nlohmann::json& dim : *shape) {
    if (!dim.is_number_unsigned()) return c.Refuse(tensor.name, "shape has {}, must be whole numbers", dim.dump());
    state.shape.push_back(dim.get<uint64_t>());
  }
  state.nested = config.Has("nested_blocksize");
  if (!state.nested) return state;
  const auto nested_block = PositiveOf(config, "nested_blocksize");
  if (!nested_block) return Propagate(nested_block);
  state.nested_block = *nested_block;
  const nlohmann::json* const offset = config.Find("nested_offset");
  if (offset == nullptr || !offset->is_number()) return c.Refuse(tensor.name, "nested_offset must be a number");
  state.nested_offset = static_cast<float>(offset->get<double>());
  return state;
}

Status ImportInt8(const Checkpoint& c, const std::string& p, Imports& imports) {
  const auto weight = c.Need(p + ".weight", {DType::kI8}, {std::nullopt, std::nullopt});
  if (!weight) return Propagate(weight);
  const uint64_t rows = (*weight)->shape[0], cols = (*weight)->shape[1];
  if (rows == 0 || cols == 0) return c.Refuse(p + ".weight", "is empty");
  const auto scb = c.Need(p + ".SCB", {DType::kF32}, {rows});
  if (!scb) return Propagate(scb);
  const SourceTensor* format = c.Find(p + ".weight_format");
  if (format != nullptr) {
    const auto value = ReadAll(c.source(), *format);
    if (!value) return Propagate(value);
    if (value->size() != 1 || value->front() != std::byte{0})
      return c.Refuse(format->name, "is not 0 (row-major); other layouts cannot be imported");
  }
  PartPlan plan = PlanRows(8, rows, cols, cols, DType::kF32);
  plan.linear.s = Operand::Array(DType::kF32);
  plan.linear.z = Operand::Constant(128.0f);
  plan.linear.t = Operand::Constant(kInt8Scale);
  GroupedLayout layout;
  layout.codes = RowCodes{&c.source(), *weight, CodeOrder::kStream, 8, cols, cols, 0x80};
  layout.s = ArrayOperand(c.source(), **scb);
  layout.value = [](uint8_t q, float s, float, float) { return static_cast<float>(q - 128) * s * kInt8Scale; };
  auto tensor = std::make_shared<GroupedImport>("bitsandbytes int8", std::move(plan), std::move(layout));
  return imports.Add(p + ".weight", DType::kF32, {rows, cols}, tensor, {*weight, *scb, format});
}

// The tensors of a nested absmax.
struct NestedScales {
  const SourceTensor *codes, *map, *absmax;
};

// absmax in 8 bits: its codes, their map and absmax of their own.
Status NestScales(const Checkpoint& c, const QuantState& state, uint64_t blocks, const NestedScales& n, PartPlan& plan,
                  GroupedLayout& layout) {
  const auto map = ReadFloats(c.source(), *n.map);
  if (!map) return Propagate(map);
  EncodingPlan& nested = plan.nested[0].emplace();
  nested.codebook = *map;
  nested.linear.bits = 8;
  nested.linear.codebook = true;
  nested.linear.rows = nested.linear.group_rows = 1;
  nested.linear.cols = blocks;
  nested.linear.group_cols = std::min(state.nested_block, blocks);
  nested.linear.s = Operand::Array(DType::kF32);
  nested.linear.o = ConstantOperand(-state.nested_offset, 0.0f);
  plan.linear.s = Operand::Nested();
  const Source& source = c.source();
  layout.s.fill = [&source, n](OperandBlock& block) -> Status {
    auto codes = ReadAll(source, *n.codes);
    if (!codes) return Propagate(codes);
    block.codes.resize(codes->size());
    std::memcpy(block.codes.data(), codes->data(), codes->size());
    auto absmax = ReadAll(source, *n.absmax);
    if (!absmax) return Propagate(absmax);
    block.arrays[0] = std::move(*absmax);
    return {};
  };
  layout.s.values = [&source, n, map = *map, state]() -> Result<std::vector<float>> {
    const auto codes = ReadAll(source, *n.codes);
    if (!codes) return Propagate(codes);
    const auto absmax = ReadFloats(source, *n.absmax);
    if (!absmax) return absmax;
    std::vector<float> out;
    for (size_t i = 0; i < codes->size(); ++i) {
      const float product = map[std::to_integer<size_t>((*codes)[i])] * (*absmax)[i / state.nested_block];
      out.push_back(product + state.nested_offset);
    }
    return out;
  };
  return {};
}

Status Import4Bit(const Checkpoint& c, const std::string& w, const SourceTensor& state_tensor, Imports& imports) {
  const auto state = ReadQuantState(c, state_tensor);
  if (!state) return Propagate(state);
  const auto elements = CheckedProduct(state->shape);
  if (!elements || *elements == 0 || *elements >= kMaxMatrixSize || state->shape.empty())
    return c.Refuse(state_tensor.name, "the shape has {} elements",
                    elements ? fmt::format("{}", *elements) : "too many");
  const auto weight = c.Need(w, {}, {std::nullopt, 1});
  if (!weight) return Propagate(weight);
  if ((*weight)->size != CeilDiv(*elements, 2))
    return c.Refuse(w, "has {} bytes; {} codes of 4 bits need {}", (*weight)->size, *elements, CeilDiv(*elements, 2));
  const uint64_t blocks = CeilDiv(*elements, state->block), cols = state->shape.back();
  const auto absmax = c.Need(w + ".absmax", {state->nested ? DType::kU8 : DType::kF32}, {blocks});
  if (!absmax) return Propagate(absmax);
  const SourceTensor* const quant_map = c.Find(w + ".quant_map");

  // Where blocks run over the ends of rows, the view is one row.
  const bool whole = cols % state->block == 0;
  PartPlan plan = PlanRows(4, whole ? *elements / cols : 1, whole ? cols : *elements, state->block, state->dtype);
  const Codebook& book = CodebookOf(state->nf4 ? MethodKind::kNf4 : MethodKind::kFp4);
  plan.linear.codebook = true;
  plan.codebook.assign(book.values.begin(), book.values.end());
  plan.linear.s = Operand::Array(DType::kF32);
  GroupedLayout layout;
  layout.codes =
      RowCodes{&c.source(), *weight, CodeOrder::kHighFirst, 4, plan.linear.cols, CeilDiv(plan.linear.cols, 2)};
  NestedScales nested{*absmax, nullptr, nullptr};
  if (state->nested) {
    const auto map = c.Need(w + ".nested_quant_map", {DType::kF32}, {256});
    if (!map) return Propagate(map);
    const auto absmax2 = c.Need(w + ".nested_absmax", {DType::kF32}, {CeilDiv(blocks, state->nested_block)});
    if (!absmax2) return Propagate(absmax2);
    nested.map = *map;
    nested.absmax = *absmax2;
    if (auto done = NestScales(c, *state, blocks, nested, plan, layout); !done) return done;
  } else {
    layout.s = ArrayOperand(c.source(), **absmax);
  }
  layout.value = [book = plan.codebook, type = state->dtype](uint8_t q, float s, float, float) {
    return RoundTo(type, book[q] * s);
  };
  std::string text =
      fmt::format("bitsandbytes {} b{}{}", state->nf4 ? "nf4" : "fp4", state->block, state->nested ? " nested" : "");
  auto tensor = std::make_shared<GroupedImport>(std::move(text), std::move(plan), std::move(layout));
  return imports.Add(w, state->dtype, state->shape, tensor,
                     {*weight, *absmax, nested.map, nested.absmax, quant_map, &state_tensor});
}

}  // namespace

Status ImportBitsAndBytes(const Checkpoint& checkpoint, Imports& imports) {
  for (const std::string& module : checkpoint.Modules(".SCB")) {
    if (auto done = ImportInt8(checkpoint, module, imports); !done) return done;
  }
  for (std::string_view suffix : {".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"}) {
    for (const std::string& weight : checkpoint.Modules(suffix)) {
      const SourceTensor* state = checkpoint.Find(weight + std::string(suffix));
      if (auto done = Import4Bit(checkpoint, weight, *state, imports); !done) return done;
    }
  }
  for (std::string_view suffix : {".absmax", ".weight_format"}) {
    for (const std::string& name : checkpoint.Modules(suffix)) {
      const SourceTensor* tensor = checkpoint.Find(name + std::string(suffix));
      if (!imports.IsTaken(*tensor)) return checkpoint.Refuse(tensor->name, "the others of its module are missing");
    }
  }
  return {};
}

}  // namespace ingot

// GPTQ: AutoGPTQ 0.7.1 and GPTQModel 7.7.0, and others that write their layout (QuantEase).
// W[n][k] = RN(scales[g][n] * (q - z)), g = g_idx[k], rounded to the type of the scales; qweight, qzeros and scales are
// stored input column first.
#include "convert/import/act_order.h"
#include "convert/import/gptq_config.h"
#include "convert/import/grouped_import.h"
#include "convert/import/importers.h"
#include "convert/import/transposed_codes.h"
#include "format/checked.h"
#include "format/text.h"

namespace ingot {
namespace {

// The zero-points of a module: lines of `rows` codes, one for each group, in words to which v1's one may have to be
// added. Row-major over rows and groups.
Result<std::vector<uint8_t>> ReadZeros(const Source& source, const SourceTensor& qzeros, const GptqFormat& format,
                                       uint64_t rows) {
  auto words = ReadAll(source, qzeros);
  if (!words) return Propagate(words);
  if (format.zeros == GptqZeros::kWordCarry) {
    const uint32_t one = format.bits == 2 ? 0x55555555u : format.bits == 4 ? 0x11111111u : 0x01010101u;
    for (size_t at = 0; at < words->size(); at += 4)
      Store(words->data() + at, Load<uint32_t>(words->data() + at) + one);
  }
  const uint64_t groups = qzeros.shape[0], line = 4 * qzeros.shape[1];
  std::vector<uint8_t> lines(groups * rows), zeros(groups * rows);
  for (uint64_t g = 0; g < groups; ++g)
    UnpackLine(format.order(), format.bits, words->data() + g * line, rows, lines.data() + g * rows);
  if (format.zeros == GptqZeros::kFieldWrap) {
    for (uint8_t& z : lines) z = static_cast<uint8_t>((z + 1) & ((1 << format.bits) - 1));
  }
  Transpose(1, std::as_bytes(std::span(lines)).data(), groups, rows, reinterpret_cast<std::byte*>(zeros.data()));
  return zeros;
}

Status ImportModule(const Checkpoint& c, const GptqConfig& config, const std::string& p, Imports& imports) {
  const auto qweight = c.Need(p + ".qweight", {DType::kI32}, {std::nullopt, std::nullopt});
  if (!qweight) return Propagate(qweight);
  const auto g_idx = c.Need(p + ".g_idx", {DType::kI32}, {std::nullopt});
  if (!g_idx) return Propagate(g_idx);
  const auto format = config.FormatOf(p);
  if (!format) return Propagate(format);
  const int bits = format->bits;
  const uint64_t rows = (*qweight)->shape[1], cols = (*g_idx)->shape[0];
  if (rows == 0 || cols == 0) return c.Refuse(p + ".qweight", "is empty");
  if ((bits == 3 || format->planar) && (rows % 32 != 0 || cols % 32 != 0))
    return c.Refuse(p + ".qweight", "{} by {} codes of {} bits; both must be multiples of 32", rows, cols, bits);
  const uint64_t group = format->group_size == 0 ? cols : std::min(format->group_size, cols);
  const uint64_t groups = CeilDiv(cols, group), words = LineWords(format->order(), bits, cols);
  if ((*qweight)->shape[0] != words) {
    return c.Refuse(p + ".qweight", "has {} rows of words; {} codes of {} bits (as {} says) need {}",
                    (*qweight)->shape[0], cols, bits, c.quantization().what(), words);
  }
  const auto qzeros = c.Need(p + ".qzeros", {DType::kI32}, {groups, LineWords(format->order(), bits, rows)});
  if (!qzeros) return Propagate(qzeros);
  const auto scales = c.Need(p + ".scales", {DType::kF16, DType::kBF16, DType::kF32}, {groups, rows});
  if (!scales) return Propagate(scales);
  auto order = ReadActOrder(c, **g_idx, group);
  if (!order) return Propagate(order);

  const DType type = (*scales)->dtype;
  const float plus = format->zeros == GptqZeros::kFieldPlusOne ? 1.0f : 0.0f;
  PartPlan plan = PlanRows(bits, rows, cols, group, type);
  plan.linear.s = Operand::Array(type);
  NestCodes(plan, 1, bits, plus);
  plan.linear.permutation = !order->permutation.empty();
  plan.permutation = order->permutation;
  GroupedLayout layout;
  const Source& source = c.source();
  SetCodes(layout, TransposedCodes{&source, *qweight, format->order(), bits, rows, cols, true, order->permutation});
  layout.s = TransposedOperand(source, **scales, groups);
  layout.z =
      CodesOperand([&source, zeros = *qzeros, f = *format, rows] { return ReadZeros(source, *zeros, f, rows); }, plus);
  layout.group_of_column = std::move(order->group_of_column);
  layout.obstacle = std::move(order->obstacle);
  layout.value = [type](uint8_t q, float s, float z, float) { return RoundTo(type, s * (static_cast<float>(q) - z)); };
  std::string text = fmt::format("GPTQ {}-bit g{}{}", bits, group, plan.linear.permutation ? " act-order" : "");
  auto tensor = std::make_shared<GroupedImport>(std::move(text), std::move(plan), std::move(layout));
  return imports.Add(p + ".weight", type, {rows, cols}, tensor, {*qweight, *qzeros, *scales, *g_idx});
}

}  // namespace

Status ImportGptq(const Checkpoint& checkpoint, Imports& imports) {
  const auto config = GptqConfig::Read(checkpoint);
  if (!config) return Propagate(config);
  for (const std::string& module : checkpoint.Modules(".qweight")) {
    if (auto done = ImportModule(checkpoint, *config, module, imports); !done) return done;
  }
  for (std::string_view suffix : {".qzeros", ".g_idx"}) {
    for (const std::string& module : checkpoint.Modules(suffix)) {
      if (checkpoint.Find(module + ".qweight") != nullptr) continue;
      return checkpoint.Refuse(module + ".qweight", "missing, though {} is there", Quote(module + std::string(suffix)));
    }
  }
  return {};
}

}  // namespace ingot

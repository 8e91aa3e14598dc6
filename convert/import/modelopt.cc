// NVIDIA's Model Optimizer ("quant_method": "modelopt"). NVFP4: weight U8 [N, K / 2], low nibble first, weight_scale
// F8_E4M3 [N, K / 16], weight_scale_2 F32: W = RN_BF16(e2m1 * RN32(scale * scale_2)). FP8: as convert/import/fp8.cc.
#include "convert/import/float8.h"
#include "convert/import/importers.h"
#include "convert/import/microscaling.h"
#include "format/checked.h"

namespace ingot {
namespace {

Status ImportNvfp4(const Checkpoint& c, const std::string& p, Imports& imports) {
  constexpr uint64_t kGroup = 16;
  const auto codes = c.Need(p + ".weight", {DType::kU8}, {std::nullopt, std::nullopt});
  if (!codes) return Propagate(codes);
  const uint64_t rows = (*codes)->shape[0], cols = 2 * (*codes)->shape[1];
  if (rows == 0 || cols == 0 || cols % kGroup != 0)
    return c.Refuse(p + ".weight", "{} by {} codes are no whole groups of {}", rows, cols, kGroup);
  const auto scales = c.Need(p + ".weight_scale", {DType::kF8E4M3}, {rows, cols / kGroup});
  if (!scales) return Propagate(scales);
  const SourceTensor* global = c.Find(p + ".weight_scale_2");
  if (global->dtype != DType::kF32 || CheckedProduct(global->shape) != 1)
    return c.Refuse(global->name, "must be one F32 value");
  const auto value = ReadFloats(c.source(), *global);
  if (!value) return Propagate(value);
  std::vector<float> book = Float8Codebook(DType::kF8E4M3);
  for (float& entry : book) entry *= value->front();
  auto tensor = MakeMicroscaling(c.source(), "NVFP4", **codes, **scales, rows, cols, kGroup, book);
  return imports.Add(p + ".weight", DType::kBF16, {rows, cols}, tensor, {*codes, *scales, global});
}

}  // namespace

Status ImportModelOpt(const Checkpoint& checkpoint, Imports& imports) {
  const auto modules = checkpoint.Modules(".weight_scale_2");
  if (modules.empty()) return ImportFp8(checkpoint, imports);
  for (const std::string& module : modules) {
    if (auto done = ImportNvfp4(checkpoint, module, imports); !done) return done;
  }
  return {};
}

}  // namespace ingot

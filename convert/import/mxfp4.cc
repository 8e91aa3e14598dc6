// MXFP4 as gpt-oss stores its experts ("quant_method": "mxfp4"): NAME_blocks U8 [experts, rows, groups, 16] and
// NAME_scales U8 [experts, rows, groups]. W = RN_BF16(e2m1 * 2^(scale - 127)), [experts, rows, 32 * groups]; the order
// of the dimensions is the file's (transformers turns the last two when it loads).
#include <limits>

#include "convert/import/float8.h"
#include "convert/import/importers.h"
#include "convert/import/microscaling.h"
#include "format/checked.h"

namespace ingot {
namespace {

Status ImportTensor(const Checkpoint& c, const std::string& name, Imports& imports) {
  const SourceTensor* blocks = c.Find(name + "_blocks");
  const auto& shape = blocks->shape;
  if (blocks->dtype != DType::kU8 || shape.size() < 3 || shape.back() != 16)
    return c.Refuse(blocks->name, "must be U8 of three or more dimensions, the last one 16");
  const Checkpoint::Shape scale_shape(shape.begin(), shape.end() - 1);
  const auto scales = c.Need(name + "_scales", {DType::kU8}, scale_shape);
  if (!scales) return Propagate(scales);
  std::vector<uint64_t> logical(shape.begin(), shape.end() - 2);
  if (blocks->size == 0) return c.Refuse(blocks->name, "is empty");
  const auto rows = CheckedProduct(logical);  // fits: none of the dimensions is 0
  const uint64_t cols = 32 * shape[shape.size() - 2];
  logical.push_back(cols);
  // torch.ldexp multiplies by 2^128, which is infinite in f32.
  std::vector<float> book = Float8Codebook(DType::kF8E8M0);
  book[255] = std::numeric_limits<float>::infinity();
  auto tensor = MakeMicroscaling(c.source(), "MXFP4", *blocks, **scales, *rows, cols, 32, book);
  return imports.Add(name, DType::kBF16, logical, tensor, {blocks, *scales});
}

}  // namespace

Status ImportMxfp4(const Checkpoint& checkpoint, Imports& imports) {
  for (const std::string& name : checkpoint.Modules("_blocks")) {
    if (auto done = ImportTensor(checkpoint, name, imports); !done) return done;
  }
  return {};
}

}  // namespace ingot

// Any bytes as a recipe: refused, or a recipe that comes back from its own JSON and decides about any tensor.
#include "convert/recipe.h"
#include "convert/selector.h"
#include "format/bytes.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  const std::string_view text = AsText(std::as_bytes(std::span(data, size)));
  const auto recipe = ParseRecipe(text, "fuzz");
  if (!recipe) return 0;
  const auto again = ParseRecipe(RecipeToJson(*recipe), "again");
  Require(again.has_value() && *again == *recipe);
  for (const Rule& rule : recipe->rules)
    Require(CheckMethod(rule.method).has_value() && !MethodToText(rule.method).empty());
  const auto selector = Selector::Make({*recipe, true, {}, {}});
  Require(selector.has_value());
  const SourceTensor tensor{"model.layers.0.self_attn.q_proj.weight", DType::kF16, {4, 4}, 0, 0, 32};
  (void)selector->Decide(tensor);
  return 0;
}

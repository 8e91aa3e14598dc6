// Recipes: which tensors are stored how. Plain values, their JSON form, and the presets that ship with the tool.
// Functions are thread-safe.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/method.h"
#include "format/status.h"

namespace ingot {

// Tensors whose name has a match of the PCRE2 pattern (unanchored) are stored by the method.
struct Rule {
  std::string match;
  Method method;

  friend bool operator==(const Rule&, const Rule&) = default;
};

// The first rule that matches a name counts; a tensor that no rule matches is kept as it is.
struct Recipe {
  std::string name;
  std::vector<Rule> rules;

  friend bool operator==(const Recipe&, const Recipe&) = default;
};

// Reads {"name": "...", "rules": [{"match": "regex", "method": "linear", "bits": 4, ...}, ...]}. Unknown keys, wrong
// types, values out of range and patterns that do not compile are refused.
// Errors: kBadInput naming `what`, the number of the rule, the key, the value and what is allowed.
Result<Recipe> ParseRecipe(std::string_view text, const std::string& what);
// The same from a file (at most 1 MiB). Errors: also kIo.
Result<Recipe> ReadRecipe(const std::string& path);

// The recipe as one line of JSON, every option spelled out in a fixed order: the same recipe gives the same text, and
// ParseRecipe gives the recipe back. For provenance.
std::string RecipeToJson(const Recipe& recipe);

// Options of the command line that describe a method; what is not given has the default of the method.
struct MethodOptions {
  std::string method;  // "linear", "nf4", "fp4" or "keep"
  std::optional<int64_t> bits;
  std::optional<std::string> group_size;  // a number, "channel" or "tensor"
  bool symmetric = false;
  std::optional<std::string> zero_point;  // "integer" or "float"
  std::optional<std::string> scale_dtype;
  std::optional<std::string> clip;
  std::optional<double> outliers;
  std::optional<std::string> outlier_kind;
};
// The method that they ask for. Errors: kUsage naming option, value and what is allowed.
Result<Method> MakeMethod(const MethodOptions& options);
// A recipe of one rule that matches every name.
Recipe RecipeOf(std::string name, const Method& method);

// Whether the members of a method are within their ranges and fit together. Errors: kBadInput.
Status CheckMethod(const Method& method);
// "linear 4-bit asymmetric g128 scale f16 outliers 1% unstructured": one line, the same for the same method.
std::string MethodToText(const Method& method);

struct Preset {
  std::string_view name;
  std::string_view description;  // one line
  Recipe recipe;
};
// All presets, in the order in which they are listed.
std::span<const Preset> Presets();
// The preset of that name, or nullptr.
const Preset* FindPreset(std::string_view name);

}  // namespace ingot

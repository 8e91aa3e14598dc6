#include "convert/recipe.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "convert/json_reader.h"
#include "convert/regex.h"
#include "format/text.h"
#include "runtime/file.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxRecipeSize = 1 << 20;

template <typename T>
struct Named {
  std::string_view name;
  T value;
};
constexpr std::array<Named<MethodKind>, 4> kMethods = {{{"linear", MethodKind::kLinear},
                                                        {"nf4", MethodKind::kNf4},
                                                        {"fp4", MethodKind::kFp4},
                                                        {"keep", MethodKind::kKeep}}};
constexpr std::array<Named<ZeroPointKind>, 2> kZeroPoints = {
    {{"integer", ZeroPointKind::kInteger}, {"float", ZeroPointKind::kFloat}}};
constexpr std::array<Named<DType>, 3> kScaleTypes = {
    {{"f32", DType::kF32}, {"f16", DType::kF16}, {"bf16", DType::kBF16}}};
constexpr std::array<Named<bool>, 2> kClips = {{{"none", false}, {"mse", true}}};
constexpr std::array<Named<OutlierKind>, 2> kOutlierKinds = {
    {{"unstructured", OutlierKind::kUnstructured}, {"columns", OutlierKind::kColumns}}};
constexpr std::array<Named<uint64_t>, 2> kGroupSizes = {
    {{"channel", Method::kPerChannel}, {"tensor", Method::kPerTensor}}};

// Sets `out` from a text that is one of the table's names.
template <typename T, size_t kSize>
bool SetNamed(const std::array<Named<T>, kSize>& table, const Json& value, T& out) {
  const auto* text = value.get_ptr<const std::string*>();
  if (text == nullptr) return false;
  for (const auto& row : table) {
    if (row.name == *text) {
      out = row.value;
      return true;
    }
  }
  return false;
}

template <typename T, size_t kSize>
std::string_view NameOf(const std::array<Named<T>, kSize>& table, T value) {
  for (const auto& row : table) {
    if (row.value == value) return row.name;
  }
  return "?";
}

bool SetBits(const Json& value, Method& method) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() < 1 || value.get<uint64_t>() > 8) return false;
  method.bits = static_cast<int>(value.get<uint64_t>());
  return true;
}

bool SetGroupSize(const Json& value, Method& method) {
  if (!value.is_number_unsigned()) return SetNamed(kGroupSizes, value, method.group_size);
  method.group_size = value.get<uint64_t>();
  return method.group_size != Method::kPerChannel && method.group_size != Method::kPerTensor;
}

bool SetSymmetric(const Json& value, Method& method) {
  if (!value.is_boolean()) return false;
  method.zero_point = value.get<bool>() ? ZeroPointKind::kSymmetric : ZeroPointKind::kInteger;
  return true;
}

bool SetOutliers(const Json& value, Method& method) {
  if (!value.is_number()) return false;
  method.outlier_ratio = value.get<double>() + 0.0;  // -0 becomes 0
  return method.outlier_ratio >= 0.0 && method.outlier_ratio < 1.0;
}

// The keys of a rule beside "match" and "method", in canonical order: which methods have them and what they hold.
struct KeyRow {
  std::string_view key;
  bool codebooks;  // nf4 and fp4 have it too; `keep` has none
  std::string_view allowed;
  bool (*set)(const Json& value, Method& method);
};
constexpr std::array kKeys = {
    KeyRow{"bits", true, "1 to 8 (nf4 and fp4: 4)", &SetBits},
    KeyRow{"group_size", true, "a whole number from 1, \"channel\" or \"tensor\"", &SetGroupSize},
    KeyRow{"symmetric", false, "true or false", &SetSymmetric},
    KeyRow{"zero_point", false, "\"integer\" or \"float\"",
           [](const Json& value, Method& method) { return SetNamed(kZeroPoints, value, method.zero_point); }},
    KeyRow{"scale_dtype", true, "\"f32\", \"f16\" or \"bf16\"",
           [](const Json& value, Method& method) { return SetNamed(kScaleTypes, value, method.scale_dtype); }},
    KeyRow{"clip", false, "\"none\" or \"mse\"",
           [](const Json& value, Method& method) { return SetNamed(kClips, value, method.mse_clip); }},
    KeyRow{"outliers", true, "a number of at least 0 and less than 1", &SetOutliers},
    KeyRow{"outlier_kind", true, "\"unstructured\" or \"columns\"",
           [](const Json& value, Method& method) { return SetNamed(kOutlierKinds, value, method.outlier_kind); }},
};

std::string Shown(const Json& value) { return Escape(value.dump(-1, ' ', false, Json::error_handler_t::replace), 80); }

tl::unexpected<Error> BadValue(std::string_view where, std::string_view key, const Json& value,
                               std::string_view allowed) {
  return Fail(ErrorCode::kBadInput, "{}: key '{}': {} is not allowed, only {}", where, key, Shown(value), allowed);
}

tl::unexpected<Error> UnknownKey(std::string_view where, std::string_view key, std::string_view allowed) {
  return Fail(ErrorCode::kBadInput, "{}: key {} is not known, only {}", where, Quote(key), allowed);
}

// The method of a rule (an object); `where` names the rule.
Result<Method> MethodOf(const Json& rule, const std::string& where) {
  Method method;
  const auto kind = rule.find("method");
  if (kind == rule.end()) return Fail(ErrorCode::kBadInput, "{}: no key 'method'", where);
  if (!SetNamed(kMethods, *kind, method.kind)) {
    return BadValue(where, "method", *kind, "\"linear\", \"nf4\", \"fp4\" or \"keep\"");
  }
  const bool codebook = method.kind == MethodKind::kNf4 || method.kind == MethodKind::kFp4;
  if (codebook) method.group_size = 64;
  for (const auto& [key, value] : rule.items()) {
    const auto known = [&k = key](const KeyRow& row) { return row.key == k; };
    if (key != "match" && key != "method" && std::none_of(kKeys.begin(), kKeys.end(), known)) {
      return UnknownKey(where, key,
                        "match, method, bits, group_size, symmetric, zero_point, scale_dtype, clip, outliers and "
                        "outlier_kind");
    }
  }
  for (const KeyRow& row : kKeys) {
    const auto value = rule.find(row.key);
    if (value == rule.end()) continue;
    if (method.kind == MethodKind::kKeep || (codebook && !row.codebooks)) {
      return Fail(ErrorCode::kBadInput, "{}: key '{}': {}: method {} does not have it", where, row.key, Shown(*value),
                  NameOf(kMethods, method.kind));
    }
    if (row.key == "zero_point" && method.zero_point == ZeroPointKind::kSymmetric) {
      return Fail(ErrorCode::kBadInput, "{}: key 'zero_point': {}: a symmetric grid has none", where, Shown(*value));
    }
    if (!row.set(*value, method)) return BadValue(where, row.key, *value, row.allowed);
  }
  if (method.outlier_ratio == 0) method.outlier_kind = OutlierKind::kUnstructured;  // one value has one form
  if (auto fits = CheckMethod(method); !fits) {
    return Fail(ErrorCode::kBadInput, "{}: {}", where, fits.error().message);
  }
  return method;
}

Result<Rule> RuleOf(const Json& json, const std::string& where) {
  if (!json.is_object()) return Fail(ErrorCode::kBadInput, "{}: {} is not an object", where, Shown(json));
  const auto match = json.find("match");
  if (match == json.end()) return Fail(ErrorCode::kBadInput, "{}: no key 'match'", where);
  if (!match->is_string()) return BadValue(where, "match", *match, "a regular expression");
  Rule rule;
  rule.match = match->get<std::string>();
  if (const auto regex = Regex::Compile(rule.match); !regex) {
    return Fail(ErrorCode::kBadInput, "{}: key 'match': {}", where, regex.error().message);
  }
  auto method = MethodOf(json, where);
  if (!method) return Propagate(method);
  rule.method = *method;
  return rule;
}

nlohmann::ordered_json ToJson(const Rule& rule) {
  const Method& method = rule.method;
  nlohmann::ordered_json json;
  json["match"] = rule.match;
  json["method"] = NameOf(kMethods, method.kind);
  if (method.kind == MethodKind::kKeep) return json;
  json["bits"] = method.bits;
  if (method.group_size == Method::kPerChannel || method.group_size == Method::kPerTensor) {
    json["group_size"] = NameOf(kGroupSizes, method.group_size);
  } else {
    json["group_size"] = method.group_size;
  }
  if (method.kind == MethodKind::kLinear) {
    json["symmetric"] = method.zero_point == ZeroPointKind::kSymmetric;
    if (method.zero_point != ZeroPointKind::kSymmetric) json["zero_point"] = NameOf(kZeroPoints, method.zero_point);
  }
  json["scale_dtype"] = NameOf(kScaleTypes, method.scale_dtype);
  if (method.kind == MethodKind::kLinear) json["clip"] = NameOf(kClips, method.mse_clip);
  json["outliers"] = method.outlier_ratio;
  if (method.outlier_ratio > 0) json["outlier_kind"] = NameOf(kOutlierKinds, method.outlier_kind);
  return json;
}

}  // namespace

Result<Recipe> ParseRecipe(std::string_view text, const std::string& what) {
  const auto json = ParseJson(text, what);
  if (!json) return Propagate(json);
  if (!json->is_object()) return Fail(ErrorCode::kBadInput, "{}: a recipe must be an object", what);
  for (const auto& [key, value] : json->items()) {
    if (key != "name" && key != "rules") return UnknownKey(what, key, "name and rules");
  }
  Recipe recipe;
  if (const auto name = json->find("name"); name != json->end()) {
    if (!name->is_string()) return BadValue(what, "name", *name, "a text");
    recipe.name = name->get<std::string>();
  }
  const auto rules = json->find("rules");
  if (rules == json->end()) return Fail(ErrorCode::kBadInput, "{}: no key 'rules'", what);
  if (!rules->is_array()) return BadValue(what, "rules", *rules, "a list of rules");
  for (const Json& entry : *rules) {
    auto rule = RuleOf(entry, fmt::format("{}: rule {}", what, recipe.rules.size() + 1));
    if (!rule) return Propagate(rule);
    recipe.rules.push_back(std::move(*rule));
  }
  return recipe;
}

Result<Recipe> ReadRecipe(const std::string& path) {
  const auto text = ReadWholeFile(path, kMaxRecipeSize);
  if (!text) return Propagate(text);
  return ParseRecipe(*text, path);
}

std::string RecipeToJson(const Recipe& recipe) {
  nlohmann::ordered_json json;
  json["name"] = recipe.name;
  json["rules"] = nlohmann::ordered_json::array();
  for (const Rule& rule : recipe.rules) json["rules"].push_back(ToJson(rule));
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<Method> MakeMethod(const MethodOptions& options) {
  Json rule = {{"method", options.method}};
  const auto add = [&rule](const char* key, const auto& value) {
    if (value) rule[key] = *value;
  };
  if (options.bits && *options.bits >= 0) {
    rule["bits"] = static_cast<uint64_t>(*options.bits);
  } else {
    add("bits", options.bits);
  }
  add("group_size", options.group_size);
  if (options.group_size) {
    uint64_t number = 0;
    const char *begin = options.group_size->data(), *end = begin + options.group_size->size();
    const auto [stop, error] = std::from_chars(begin, end, number);
    if (error == std::errc() && stop == end) rule["group_size"] = number;
  }
  if (options.symmetric) rule["symmetric"] = true;
  add("zero_point", options.zero_point);
  add("scale_dtype", options.scale_dtype);
  add("clip", options.clip);
  add("outliers", options.outliers);
  add("outlier_kind", options.outlier_kind);
  auto method = MethodOf(rule, "options");
  if (!method) return Fail(ErrorCode::kUsage, "{}", method.error().message);
  return *method;
}

Recipe RecipeOf(std::string name, const Method& method) { return {std::move(name), {{".*", method}}}; }

}  // namespace ingot

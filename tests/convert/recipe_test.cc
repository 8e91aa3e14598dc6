#include "convert/recipe.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <string>

#include "convert/regex.h"

using namespace ingot;

namespace {

std::string ErrorOf(const std::string& text) {
  const auto recipe = ParseRecipe(text, "r.json");
  if (recipe) return "accepted";
  CHECK(recipe.error().code == ErrorCode::kBadInput);
  return recipe.error().message;
}

// A recipe of one rule with these keys behind "match".
std::string WithRule(const std::string& keys) { return R"({"name":"n","rules":[{"match":"x",)" + keys + "}]}"; }

Method MethodIn(const std::string& keys) {
  const auto recipe = ParseRecipe(WithRule(keys), "r.json");
  REQUIRE_MESSAGE(recipe, recipe.error().message);
  return recipe->rules.at(0).method;
}

}  // namespace

TEST_CASE("a recipe is read") {
  const auto recipe = ParseRecipe(R"({"name": "mine", "rules": [
      {"match": "lm_head", "method": "keep"},
      {"match": "mlp", "method": "linear", "bits": 3, "group_size": "channel", "symmetric": true, "scale_dtype": "bf16",
       "clip": "mse", "outliers": 0.01, "outlier_kind": "columns"},
      {"match": "", "method": "nf4"}]})",
                                  "r.json");
  REQUIRE_MESSAGE(recipe, recipe.error().message);
  CHECK(recipe->name == "mine");
  REQUIRE(recipe->rules.size() == 3);
  CHECK(recipe->rules[0] == Rule{"lm_head", Method{}});
  const Method& method = recipe->rules[1].method;
  CHECK(method.kind == MethodKind::kLinear);
  CHECK(method.bits == 3);
  CHECK(method.group_size == Method::kPerChannel);
  CHECK(method.zero_point == ZeroPointKind::kSymmetric);
  CHECK(method.scale_dtype == DType::kBF16);
  CHECK(method.mse_clip);
  CHECK(method.outlier_ratio == 0.01);
  CHECK(method.outlier_kind == OutlierKind::kColumns);
  CHECK(recipe->rules[2].method.kind == MethodKind::kNf4);
  CHECK(recipe->rules[2].method.group_size == 64);
}

TEST_CASE("defaults and the forms of single keys") {
  Method linear;
  linear.kind = MethodKind::kLinear;
  CHECK(MethodIn(R"("method":"linear")") == linear);
  CHECK(MethodIn(R"("method":"linear","symmetric":false)") == linear);
  CHECK(MethodIn(R"("method":"linear","outliers":0,"outlier_kind":"columns")") == linear);
  CHECK(MethodIn(R"("method":"linear","outliers":-0.0)").outlier_ratio == 0);
  CHECK(MethodIn(R"("method":"linear","symmetric":false,"zero_point":"float")").zero_point == ZeroPointKind::kFloat);
  CHECK(MethodIn(R"("method":"linear","group_size":"tensor")").group_size == Method::kPerTensor);
  CHECK(MethodIn(R"("method":"fp4","bits":4,"group_size":32)").group_size == 32);
}

TEST_CASE("recipes that are refused") {
  struct Row {
    std::string text, part;
  };
  const Row rows[] = {
      {"{", "r.json: byte 1: not JSON"},
      {"[]", "r.json: a recipe must be an object"},
      {"{}", "r.json: no key 'rules'"},
      {R"({"rules":{}})", "r.json: key 'rules': {} is not allowed, only a list of rules"},
      {R"({"rules":[],"rule":1})", "r.json: key 'rule' is not known, only name and rules"},
      {R"({"rules":[],"rules":[]})", "key 'rules' stands twice"},
      {R"({"rules":[],"name":1})", "key 'name': 1 is not allowed"},
      {R"({"rules":[1]})", "r.json: rule 1: 1 is not an object"},
      {R"({"rules":[{"match":"a","method":"keep"},{"method":"keep"}]})", "r.json: rule 2: no key 'match'"},
      {R"({"rules":[{"match":["a"],"method":"keep"}]})", "key 'match': [\"a\"] is not allowed"},
      {R"({"rules":[{"match":"(","method":"keep"}]})", "rule 1: key 'match': regular expression '(': missing closing"},
      {R"({"rules":[{"match":"a"}]})", "rule 1: no key 'method'"},
      {WithRule(R"("method":"int4")"), "rule 1: key 'method': \"int4\" is not allowed, only \"linear\", \"nf4\""},
      {WithRule(R"("method":4)"), "key 'method': 4 is not allowed"},
      {WithRule(R"("method":"linear","bit":4)"), "rule 1: key 'bit' is not known, only match, method, bits"},
      {WithRule(R"("method":"linear","bits":9)"), "rule 1: key 'bits': 9 is not allowed, only 1 to 8"},
      {WithRule(R"("method":"linear","bits":0)"), "key 'bits': 0 is not allowed"},
      {WithRule(R"("method":"linear","bits":-4)"), "key 'bits': -4 is not allowed"},
      {WithRule(R"("method":"linear","bits":4.0)"), "key 'bits': 4.0 is not allowed"},
      {WithRule(R"("method":"linear","bits":"4")"), "key 'bits': \"4\" is not allowed"},
      {WithRule(R"("method":"linear","bits":18446744073709551615)"), "key 'bits': 18446744073709551615 is not"},
      {WithRule(R"("method":"linear","group_size":0)"), "key 'group_size': 0 is not allowed, only a whole number from"},
      {WithRule(R"("method":"linear","group_size":-1)"), "key 'group_size': -1 is not allowed"},
      {WithRule(R"("method":"linear","group_size":18446744073709551615)"), "key 'group_size': 18446744073709551615"},
      {WithRule(R"("method":"linear","group_size":281474976710656)"), "rule 1: group_size is 281474976710656, must be"},
      {WithRule(R"("method":"linear","group_size":"row")"), "key 'group_size': \"row\" is not allowed"},
      {WithRule(R"("method":"linear","symmetric":1)"), "key 'symmetric': 1 is not allowed, only true or false"},
      {WithRule(R"("method":"linear","zero_point":"none")"), "key 'zero_point': \"none\" is not allowed"},
      {WithRule(R"("method":"linear","symmetric":true,"zero_point":"integer")"), "a symmetric grid has none"},
      {WithRule(R"("method":"linear","scale_dtype":"f64")"), "key 'scale_dtype': \"f64\" is not allowed"},
      {WithRule(R"("method":"linear","clip":true)"), "key 'clip': true is not allowed"},
      {WithRule(R"("method":"linear","outliers":1)"), "key 'outliers': 1 is not allowed, only a number of at least 0"},
      {WithRule(R"("method":"linear","outliers":-0.1)"), "key 'outliers': -0.1 is not allowed"},
      {WithRule(R"("method":"linear","outliers":"1%")"), "key 'outliers': \"1%\" is not allowed"},
      {WithRule(R"("method":"linear","outlier_kind":"rows")"), "key 'outlier_kind': \"rows\" is not allowed"},
      {WithRule(R"("method":"keep","bits":4)"), "rule 1: key 'bits': 4: method keep does not have it"},
      {WithRule(R"("method":"nf4","symmetric":true)"), "key 'symmetric': true: method nf4 does not have it"},
      {WithRule(R"("method":"fp4","clip":"mse")"), "key 'clip': \"mse\": method fp4 does not have it"},
      {WithRule(R"("method":"nf4","bits":3)"), "rule 1: bits is 3: the codebooks have 4"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK_MESSAGE(ErrorOf(row.text).find(row.part) != std::string::npos, ErrorOf(row.text));
  }
}

TEST_CASE("a method is checked as a value too") {
  const auto refused = [](auto change) {
    Method method;
    method.kind = MethodKind::kLinear;
    REQUIRE(CheckMethod(method));
    change(method);
    const auto checked = CheckMethod(method);
    return !checked && checked.error().code == ErrorCode::kBadInput;
  };
  CHECK(refused([](Method& m) { m.bits = 0; }));
  CHECK(refused([](Method& m) { m.bits = 9; }));
  CHECK(refused([](Method& m) { m.group_size = uint64_t{1} << 48; }));
  CHECK(refused([](Method& m) { m.scale_dtype = DType::kF64; }));
  CHECK(refused([](Method& m) { m.outlier_ratio = 1; }));
  CHECK(refused([](Method& m) { m.outlier_ratio = -0.5; }));
  CHECK(refused([](Method& m) { m.outlier_ratio = std::nan(""); }));
  CHECK(refused([](Method& m) { m.kind = static_cast<MethodKind>(9); }));
  CHECK(refused([](Method& m) { m.zero_point = static_cast<ZeroPointKind>(9); }));
  CHECK(refused([](Method& m) { m.outlier_kind = static_cast<OutlierKind>(9); }));
  CHECK(refused([](Method& m) { m.kind = MethodKind::kNf4, m.bits = 8; }));
  CHECK(refused([](Method& m) { m.kind = MethodKind::kFp4, m.mse_clip = true; }));
  CHECK_FALSE(refused([](Method& m) { m.group_size = Method::kPerTensor; }));
}

TEST_CASE("presets are valid, have one name each and survive their JSON") {
  for (const Preset& preset : Presets()) {
    CAPTURE(preset.name);
    CHECK(FindPreset(preset.name) == &preset);
    CHECK_FALSE(preset.description.empty());
    CHECK(preset.recipe.name == preset.name);
    for (const Rule& rule : preset.recipe.rules) CHECK(CheckMethod(rule.method));
    const std::string json = RecipeToJson(preset.recipe);
    const auto again = ParseRecipe(json, "again");
    REQUIRE_MESSAGE(again, again.error().message);
    CHECK(*again == preset.recipe);
    CHECK(RecipeToJson(*again) == json);
  }
  for (const char* name :
       {"none", "int8", "int4-g128", "int4-g32", "int3-g128", "int2-g64", "int4-sym-g128", "int8-g128", "nf4", "fp4",
        "int8-outliers", "int3-g128-o1", "int4-g128-o1", "int2-g64-o1", "int4-g128-mse"}) {
    CHECK(FindPreset(name) != nullptr);
  }
  CHECK(FindPreset("int5") == nullptr);
}

TEST_CASE("text forms") {
  const auto text = [](const char* preset) { return MethodToText(FindPreset(preset)->recipe.rules.at(0).method); };
  CHECK(text("none") == "keep");
  CHECK(text("int8") == "linear 8-bit symmetric per-channel scale f32");
  CHECK(text("nf4") == "nf4 g64 scale f16");
  CHECK(text("int4-g128-mse") == "linear 4-bit asymmetric g128 scale f16 clip mse");
  CHECK(text("int4-g128-o1") == "linear 4-bit asymmetric g128 scale f16 outliers 1% unstructured");
  CHECK(text("int8-outliers") == "linear 8-bit symmetric per-channel scale f32 outliers 0.5% columns");
  CHECK(MethodToText(MethodIn(R"("method":"linear","zero_point":"float","group_size":"tensor")")) ==
        "linear 4-bit asymmetric float-zero per-tensor scale f16");
  CHECK(
      RecipeToJson(FindPreset("int3-g128-o1")->recipe) ==
      R"({"name":"int3-g128-o1","rules":[{"match":".*","method":"linear","bits":3,"group_size":128,"symmetric":false,)"
      R"("zero_point":"integer","scale_dtype":"f16","clip":"none","outliers":0.01,"outlier_kind":"unstructured"}]})");
}

TEST_CASE("options of the command line") {
  MethodOptions options;
  options.method = "linear";
  options.bits = 3;
  options.group_size = "64";
  options.outliers = 0.02;
  auto method = MakeMethod(options);
  REQUIRE_MESSAGE(method, method.error().message);
  CHECK(method->bits == 3);
  CHECK(method->group_size == 64);
  CHECK(method->outlier_ratio == 0.02);
  options.group_size = "channel";
  CHECK(MakeMethod(options)->group_size == Method::kPerChannel);
  for (const char* bad : {"", "0", "-1", "64x", "18446744073709551616", "18446744073709551615"}) {
    options.group_size = bad;
    method = MakeMethod(options);
    REQUIRE_FALSE(method);
    CHECK(method.error().code == ErrorCode::kUsage);
  }
  options.group_size.reset();
  options.bits = -1;
  CHECK(MakeMethod(options).error().message == "options: key 'bits': -1 is not allowed, only 1 to 8 (nf4 and fp4: 4)");
  options.bits.reset();
  options.outliers = std::nan("");
  CHECK_FALSE(MakeMethod(options));
}

TEST_CASE("patterns are searched anywhere, and hostile ones end") {
  const auto matches = [](const char* pattern, std::string_view subject) {
    return *Regex::Compile(pattern)->Matches(subject);
  };
  CHECK(matches("mlp", "model.mlp.weight"));
  CHECK_FALSE(matches("^mlp", "model.mlp.weight"));
  CHECK(matches("", ""));
  CHECK(matches(".*", ""));
  CHECK(matches("^.$", "é"));
  CHECK(matches("b$",
                "\xff"
                "b"));  // broken bytes in a name match nothing, the rest does
  CHECK_FALSE(Regex::Compile("("));
  CHECK_FALSE(Regex::Compile("\xff"));
  CHECK_FALSE(Regex::Compile("\\C"));
  CHECK_FALSE(Regex::Compile(std::string(5000, 'a')));
  CHECK_FALSE(Regex::Compile(std::string(2000, '(') + std::string(2000, ')')));
  CHECK_FALSE(Regex::Compile("((((a{1,999}){1,999}){1,999}){1,999})"));

  const std::string name(4096, 'a');
  const auto start = std::chrono::steady_clock::now();
  for (const char* pattern : {"(a+)+$b", "(a|aa)+$b", "(a*)*b", "(?:(a)|b|\\1)*c", "(*LIMIT_MATCH=4000000000)(a|a)*b",
                              "((?R)|a)*b", "(a|a?)+x"}) {
    CAPTURE(pattern);
    const auto regex = Regex::Compile(pattern);
    if (!regex) continue;
    const auto found = regex->Matches(name);
    if (found) CHECK_FALSE(*found);
    if (!found) CHECK(found.error().code == ErrorCode::kBadInput);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  CHECK(seconds.count() < 10);
  const auto limited = Regex::Compile("(a+)+[^a]");
  CHECK_FALSE(limited->Matches(name));
}

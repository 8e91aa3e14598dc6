#include "convert/selector.h"

#include <utility>

#include "convert/encoded_tensor.h"
#include "format/text.h"

namespace ingot {
namespace {

// The preset for tensors that cannot be kept and that no rule quantizes: close to what the codes of 8 bits and less
// mean.
constexpr std::string_view kReplacement = "int8-g128";

}  // namespace

Result<Selector> Selector::Make(SelectorOptions options) {
  Selector selector;
  for (const Rule& rule : options.recipe.rules) {
    const auto where = fmt::format("recipe {}: rule {}", Quote(options.recipe.name), selector.rules_.size() + 1);
    auto regex = Regex::Compile(rule.match);
    if (!regex) return Fail(regex.error().code, "{}: {}", where, regex.error().message);
    if (auto fits = CheckMethod(rule.method); !fits) {
      return Fail(fits.error().code, "{}: {}", where, fits.error().message);
    }
    selector.rules_.push_back(std::move(*regex));
  }
  const auto compile = [](std::string_view option, const std::optional<std::string>& pattern,
                          std::optional<Regex>& to) -> Status {
    if (!pattern) return {};
    auto regex = Regex::Compile(*pattern);
    if (!regex) return Fail(ErrorCode::kUsage, "{}: {}", option, regex.error().message);
    to = std::move(*regex);
    return {};
  };
  if (auto done = compile("include", options.include, selector.include_); !done) return Propagate(done);
  if (auto done = compile("exclude", options.exclude, selector.exclude_); !done) return Propagate(done);
  selector.options_ = std::move(options);
  return selector;
}

Result<Decision> Selector::Decide(const SourceTensor& tensor) const {
  auto decision = DecideByName(tensor);
  if (decision && tensor.encoded != nullptr && tensor.encoded->is_quantized()) {
    if (const std::string obstacle = tensor.encoded->obstacle(); !obstacle.empty()) {
      if (auto done = Replace(tensor, obstacle, *decision); !done) return Propagate(done);
    } else if (decision->method.kind == MethodKind::kKeep) {
      decision->reason = tensor.encoded->description();
    } else if (!options_.requantize) {
      return Fail(ErrorCode::kUsage,
                  "tensor {}: is quantized already ({}); --requantize decodes it and quantizes it again, without a "
                  "preset or method it is kept as it is",
                  Quote(tensor.name), tensor.encoded->description());
    }
  }
  if (decision) return decision;
  return Fail(decision.error().code, "tensor {}: {}", Quote(tensor.name), decision.error().message);
}

// A tensor that cannot be kept is quantized whatever the rules say, if that was asked for.
Status Selector::Replace(const SourceTensor& tensor, const std::string& obstacle, Decision& decision) const {
  if (!options_.requantize) {
    return Fail(
        ErrorCode::kBadInput,
        "{}; {} cannot be kept exactly: --requantize decodes it and quantizes it again, by the preset or method "
        "that is given, else by {}",
        obstacle, Quote(tensor.name), kReplacement);
  }
  if (decision.method.kind != MethodKind::kKeep) return {};
  decision.method = FindPreset(kReplacement)->recipe.rules.front().method;
  decision.reason = fmt::format("{} that cannot be kept exactly: {}", tensor.encoded->description(), kReplacement);
  return {};
}

Result<Decision> Selector::DecideByName(const SourceTensor& tensor) const {
  if (exclude_) {
    const auto excluded = exclude_->Matches(tensor.name);
    if (!excluded) return Propagate(excluded);
    if (*excluded) return Decision{Method{}, "excluded"};
  }
  size_t rule = 0;
  for (; rule < rules_.size(); ++rule) {
    const auto found = rules_[rule].Matches(tensor.name);
    if (!found) return Propagate(found);
    if (*found) break;
  }
  if (rule == rules_.size()) return Decision{Method{}, "no rule"};

  const Method& method = options_.recipe.rules[rule].method;
  const std::string rule_text = fmt::format("rule {}", rule + 1);
  if (method.kind == MethodKind::kKeep) return Decision{Method{}, options_.rules_decide ? rule_text : "method keep"};
  if (const auto obstacle = ObstacleToQuantizing(tensor.dtype, tensor.shape); !obstacle.empty()) {
    return Decision{Method{},
                    options_.rules_decide ? fmt::format("{}, but {}", rule_text, obstacle) : std::string(obstacle)};
  }
  if (options_.rules_decide) return Decision{method, rule_text};
  if (include_) {
    const auto included = include_->Matches(tensor.name);
    if (!included) return Propagate(included);
    if (*included) return Decision{method, "included"};
  }
  const Selection selection = SelectByDefault(tensor.name, tensor.dtype, tensor.shape);
  return Decision{selection.quantize ? method : Method{}, std::string(selection.reason)};
}

}  // namespace ingot

// Decides for every tensor of a source how it is stored, and says why.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/recipe.h"
#include "convert/regex.h"
#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// Why a tensor of this type and shape cannot be quantized whatever is asked for ("not floating", "scalar", "1-D",
// "empty"), or nothing if it can.
std::string_view ObstacleToQuantizing(DType dtype, std::span<const uint64_t> shape);

// What the default selection (the one without a recipe file) thinks of a tensor: floating 2-D weights of linear layers
// and expert-stacked 3-D ones are quantized; embeddings, norms, biases, positional tables, routers, convolutions and
// the output head are not. `reason` is a static text: "linear", "experts", "embedding", "1-D", ...
struct Selection {
  bool quantize;
  std::string_view reason;
};
Selection SelectByDefault(std::string_view name, DType dtype, std::span<const uint64_t> shape);

struct Decision {
  Method method;
  std::string reason;  // "linear", "rule 2", "excluded", "output head", "rule 2, but 1-D", ...
};

struct SelectorOptions {
  Recipe recipe;
  // True for a recipe file: its rules alone decide. False for presets and for a method from the command line: the rules
  // apply to what the default selection chooses.
  bool rules_decide = false;
  std::optional<std::string> include;  // pattern: quantized even if the default selection would not
  std::optional<std::string> exclude;  // pattern: never quantized; wins over include
  // Tensors that the source has quantized, too: they are decoded for it. Those that no encoding holds exactly are
  // quantized even where the rules keep them.
  bool requantize = false;
};

// Immutable, movable; Decide is thread-safe.
class Selector {
 public:
  // Compiles all patterns and checks all methods. Errors: kBadInput naming the rule; kUsage for include and exclude.
  static Result<Selector> Make(SelectorOptions options);

  // Whatever is asked for, tensors that are not floating, are empty or have less than two dimensions are kept, and so
  // are those that no rule matches. Errors: kBadInput naming the tensor if a pattern takes too many steps on its name,
  // or if it cannot be kept; kUsage if it would be quantized, is quantized already, and that was not asked for.
  Result<Decision> Decide(const SourceTensor& tensor) const;

  const SelectorOptions& options() const { return options_; }

 private:
  Selector() = default;
  Result<Decision> DecideByName(const SourceTensor& tensor) const;
  Status Replace(const SourceTensor& tensor, const std::string& obstacle, Decision& decision) const;

  SelectorOptions options_;
  std::vector<Regex> rules_;  // of options_.recipe.rules
  std::optional<Regex> include_, exclude_;
};

}  // namespace ingot

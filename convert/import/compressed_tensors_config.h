// What a compressed-tensors configuration says of each module.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "convert/import/checkpoint.h"
#include "convert/regex.h"

namespace ingot {

// The scheme of a module's weights.
struct CtScheme {
  std::string format;  // "pack-quantized", ...
  int bits = 8;
  bool is_float = false;
  std::string strategy;     // "tensor", "channel", "group", "block", "tensor_group"; empty: as the scales are
  uint64_t group_size = 0;  // 0: not given
  uint64_t block_rows = 0, block_cols = 0;
};

// Immutable, movable; thread-safe.
class CtConfig {
 public:
  // Errors: kBadInput for values that are missing, out of range or unknown.
  static Result<CtConfig> Read(const Checkpoint& checkpoint);

  // The scheme whose targets name the module: by its name, else by a pattern, else by a class.
  Result<CtScheme> SchemeOf(const std::string& module) const;
  // Whether the writer let codes straddle words (0.17 and later): where the shapes do not tell.
  bool straddles() const { return straddles_; }
  const std::string& what() const { return what_; }

 private:
  struct Target {
    std::string name;              // of a module or a class
    std::optional<Regex> pattern;  // "re:..."
    size_t scheme;
  };

  std::string what_;
  bool straddles_ = true;
  std::vector<CtScheme> schemes_;
  std::vector<Target> targets_;
};

}  // namespace ingot

// Regular expressions over names, searched unanchored. Patterns come from recipes and may be hostile: matching has
// limits.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "format/status.h"

namespace ingot {

// A compiled PCRE2 pattern. Movable; Matches is thread-safe.
class Regex {
 public:
  // Errors: kBadInput with the pattern, what is wrong with it and where.
  static Result<Regex> Compile(std::string_view pattern);

  // Whether the pattern is found anywhere in `subject`. Errors: kBadInput if that takes too many steps.
  Result<bool> Matches(std::string_view subject) const;

  const std::string& pattern() const { return pattern_; }

 private:
  struct Code;  // PCRE2's objects
  Regex(std::string pattern, std::shared_ptr<const Code> code);

  std::string pattern_;
  std::shared_ptr<const Code> code_;
};

}  // namespace ingot

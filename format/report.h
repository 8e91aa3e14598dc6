// Violations of the spec's numbered rules, as the validation pass finds them. Not thread-safe.
#pragma once

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/text.h"

namespace ingot {

// One broken rule: its number ("R-HDR-2"), where, and the values found and expected.
struct Violation {
  std::string_view rule;  // a literal
  std::string place;
  std::string message;
};

// Collects up to `most` violations; once it is full, checks stop.
class Report {
 public:
  explicit Report(size_t most = 1000) : most_(most) {}

  template <typename... Args>
  void Add(std::string_view rule, std::string place, fmt::format_string<Args...> text, Args&&... args) {
    if (full()) return;
    violations_.push_back({rule, std::move(place), fmt::format(text, std::forward<Args>(args)...)});
  }

  bool ok() const { return violations_.empty(); }
  bool full() const { return violations_.size() >= most_; }
  const std::vector<Violation>& violations() const { return violations_; }

 private:
  size_t most_;
  std::vector<Violation> violations_;
};

}  // namespace ingot

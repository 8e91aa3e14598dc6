// What a fuzz target expects of the code under test. Unlike assert it stays in a release build.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace ingot {

inline void Require(bool condition, std::source_location where = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "%s:%u: a requirement does not hold\n", where.file_name(), static_cast<unsigned>(where.line()));
  std::abort();
}

}  // namespace ingot

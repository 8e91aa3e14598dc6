// What a fuzz target expects of the code under test. Unlike assert it stays in a release build.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ingot {

// The defaults name the caller's line.
inline void Require(bool condition, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (condition) return;
  std::fprintf(stderr, "%s:%d: a requirement does not hold\n", file, line);
  std::abort();
}

}  // namespace ingot

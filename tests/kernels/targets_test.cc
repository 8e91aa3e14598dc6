#include "kernels/targets.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

namespace ingot {
namespace {

// Undoes what a test forced.
struct Restore {
  ~Restore() {
    unsetenv("INGOT_TARGET");
    (void)SetTarget("");
  }
};

TEST_CASE("every target of this machine can be forced, and then runs") {
  const Restore restore;
  const auto names = AvailableTargets();
  REQUIRE(!names.empty());
  CHECK(ActiveTarget() == names.front());
  for (const std::string& name : names) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return static_cast<char>(std::tolower(c)); });
    setenv("INGOT_TARGET", lower.c_str(), 1);
    REQUIRE(SetTargetFromEnvironment());
    CHECK(ActiveTarget() == name);
    CHECK(AvailableTargets() == names);
    CHECK(ActiveTarget() == name);  // listing them changed nothing
  }
  REQUIRE(SetTarget(""));
  CHECK(ActiveTarget() == names.front());
}

TEST_CASE("scalar means the portable target of this build") {
  const Restore restore;
  REQUIRE(SetTarget("scalar"));
  CHECK((ActiveTarget() == "SCALAR" || ActiveTarget() == "EMU128"));
}

TEST_CASE("an unknown target is a usage error that names those there are") {
  const Restore restore;
  const std::string before(ActiveTarget());
  setenv("INGOT_TARGET", "avx9", 1);
  const Status status = SetTargetFromEnvironment();
  REQUIRE(!status);
  CHECK(status.error().code == ErrorCode::kUsage);
  CHECK(status.error().message.find("avx9") != std::string::npos);
  CHECK(status.error().message.find(before) != std::string::npos);
  CHECK(ActiveTarget() == before);
}

TEST_CASE("no variable, or an empty one, forces nothing") {
  const Restore restore;
  const std::string before(ActiveTarget());
  unsetenv("INGOT_TARGET");
  CHECK(SetTargetFromEnvironment());
  setenv("INGOT_TARGET", "", 1);
  CHECK(SetTargetFromEnvironment());
  CHECK(ActiveTarget() == before);
}

}  // namespace
}  // namespace ingot

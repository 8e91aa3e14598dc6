#include "kernels/targets.h"

#include <fmt/ranges.h>

#include <cstdlib>

// Kernels that have something to gain from it have this target too (VNNI); the others run AVX3 in its place.
#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/targets.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {

const char* NameOfTarget() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(NameOfTarget);

namespace {

// Forces `target`; a kernel that was not compiled for it takes the next best.
void Force(int64_t target, const std::vector<int64_t>& targets) {
  int64_t mask = 0;
  for (int64_t t : targets) mask |= t >= target ? t : 0;
  hwy::SetSupportedTargetsForTest(mask);
}

// Every target that the CPU can run, best first; a forced one stays forced.
std::vector<int64_t> TargetsOfCpu() {
  const std::string_view active = ActiveTarget();
  hwy::SetSupportedTargetsForTest(0);
  const std::string_view best = ActiveTarget();
  std::vector<int64_t> targets = hwy::SupportedAndGeneratedTargets();
  if (active != best) {
    for (int64_t target : targets) {
      if (hwy::TargetName(target) == active) Force(target, targets);
    }
  }
  return targets;
}

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

bool IsPortable(int64_t target) { return target == HWY_EMU128 || target == HWY_SCALAR; }

}  // namespace

std::string_view ActiveTarget() { return HWY_DYNAMIC_DISPATCH(NameOfTarget)(); }

std::vector<std::string> AvailableTargets() {
  std::vector<std::string> names;
  for (int64_t target : TargetsOfCpu()) names.emplace_back(hwy::TargetName(target));
  return names;
}

Status SetTarget(std::string_view name) {
  if (name.empty()) {
    hwy::SetSupportedTargetsForTest(0);
    return {};
  }
  const std::string wanted = Upper(name);
  const std::vector<int64_t> targets = TargetsOfCpu();
  for (int64_t target : targets) {
    if (wanted == hwy::TargetName(target) || (wanted == "SCALAR" && IsPortable(target))) {
      Force(target, targets);
      return {};
    }
  }
  return Fail(ErrorCode::kUsage, "INGOT_TARGET={}: no such SIMD target here; this machine has {}", name,
              fmt::join(AvailableTargets(), ", "));
}

Status SetTargetFromEnvironment() {
  const char* name = std::getenv("INGOT_TARGET");
  if (name == nullptr || *name == '\0') return {};
  return SetTarget(name);
}

}  // namespace ingot
#endif  // HWY_ONCE

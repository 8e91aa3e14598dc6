// Which SIMD target the kernels run on. Highway picks the best one that the CPU has; the environment may force another.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "format/status.h"

namespace ingot {

// Forces the target that the environment variable INGOT_TARGET names, if it is set and not empty: Highway's name in
// upper or lower case ("sse4", "avx2", "avx3", ...); "scalar" means the portable one, whichever Highway compiled. Call
// before any other thread uses a kernel. kUsage if this build or this CPU lacks the target; the message lists those
// there are.
Status SetTargetFromEnvironment();

// Forces a target by its name; an empty name returns to the choice by CPU. As above otherwise.
Status SetTarget(std::string_view name);

// The name of the target that kernels run on now, as Highway writes it ("AVX2"). Thread-safe.
std::string_view ActiveTarget();

// The names of all targets that this build has and this CPU can run, best first, whether or not one is forced now.
// Not safe while another thread uses a kernel.
std::vector<std::string> AvailableTargets();

}  // namespace ingot

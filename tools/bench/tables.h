// Figures as tables on standard output.
#pragma once

#include <vector>

#include "tools/bench/race.h"

namespace ingot::bench {

// A table for each section, in the order in which they came.
void PrintSections(const std::vector<Figure>& all);

}  // namespace ingot::bench

// The pages that `ingot inspect` prints for people.
#pragma once

#include <cstdint>

#include "runtime/model.h"
#include "tools/summary.h"
#include "tools/tensor_statistics.h"

namespace ingot {

// The whole file: a summary, then a table of all tensors.
void PrintModel(const Model& model, const Summary& summary);

// One tensor: its encoding spelled out, planes and figures. `statistics` may be null.
void PrintTensor(const Model& model, const TensorRow& row, const TensorStatistics* statistics);

}  // namespace ingot

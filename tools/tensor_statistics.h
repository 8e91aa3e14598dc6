// Figures about the codes, scales and values of one tensor.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runtime/progress.h"
#include "runtime/tensor_reader.h"
#include "tools/output.h"

namespace ingot {

// Of a set of numbers; minimum to deviation are those of the finite ones.
struct RangeStatistics {
  uint64_t count = 0, zeros = 0, non_finite = 0;
  double min = 0, max = 0, sum = 0, sum_squares = 0;

  void Add(double value);
  void Add(const RangeStatistics& other);
  double mean() const;
  double deviation() const;
};

// Of all linear parts with the same description.
struct CodeStatistics {
  int bits = 0;
  uint64_t parts = 0;
  std::array<uint64_t, 256> histogram{};  // of stored codes
  std::map<std::string, RangeStatistics>
      operands;                 // "scales", "zero-points", "offsets", "column scales"; where not one value
  std::vector<float> codebook;  // of the first part
  uint64_t outliers = 0;        // values
  RangeStatistics outlier_values;
};

struct TensorStatistics {
  bool has_values = false;                      // it is a floating tensor
  RangeStatistics values;                       // decoded
  std::map<std::string, CodeStatistics> codes;  // by description
};

// Reads all of a tensor; uses all of TBB's threads. Blocks are summed in their order: always the same result.
// `keep_going` is asked by all threads; once it says no the result is kInterrupted.
Result<TensorStatistics> StatisticsOf(const TensorReader& reader, const std::function<bool()>& keep_going);

Json ToJson(const RangeStatistics& range);
Json ToJson(const TensorStatistics& statistics);

}  // namespace ingot

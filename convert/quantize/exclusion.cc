#include "convert/quantize/exclusion.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "convert/quantize/group_kernels.h"

namespace ingot {

void NonFiniteColumns(const float* row, uint64_t cols, std::vector<uint32_t>& columns) {
  columns.clear();
  for (uint64_t c = FirstNonFinite(row, cols); c < cols; c += 1 + FirstNonFinite(row + c + 1, cols - c - 1)) {
    columns.push_back(static_cast<uint32_t>(c));
  }
}

void LargeColumns(const float* row, uint64_t cols, uint32_t bits, std::vector<uint32_t>& columns) {
  columns.resize(cols);
  columns.resize(SelectMagnitudes(row, cols, bits, columns.data()));
  std::erase_if(columns, [row](uint32_t c) { return !std::isfinite(row[c]); });
}

void MergeColumns(std::span<const uint32_t> a, std::span<const uint32_t> b, std::vector<uint32_t>& merged) {
  merged.clear();
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(merged));
}

uint64_t KeepOthers(const float* row, uint64_t begin, uint64_t end, std::span<const uint32_t> excluded, float* kept) {
  float* at = kept;
  for (uint32_t column : excluded) {
    at = std::copy(row + begin, row + column, at);
    begin = column + 1;
  }
  at = std::copy(row + begin, row + end, at);
  return static_cast<uint64_t>(at - kept);
}

}  // namespace ingot

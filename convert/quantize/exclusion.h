// The elements of one row that do not take part in fitting its groups: outliers and values that are not finite.
// Thread-safe: functions on the caller's memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ingot {

// Writes the ascending columns of all values of the row that are infinite or not a number.
void NonFiniteColumns(const float* row, uint64_t cols, std::vector<uint32_t>& columns);

// Writes the ascending columns of all finite values whose magnitude has bits >= `bits`, in the order of f32's bits.
void LargeColumns(const float* row, uint64_t cols, uint32_t bits, std::vector<uint32_t>& columns);

// Merges two ascending lists without duplicates into `merged`.
void MergeColumns(std::span<const uint32_t> a, std::span<const uint32_t> b, std::vector<uint32_t>& merged);

// Copies row[begin..end) without the excluded columns (ascending, all within the range) to `kept`; returns how many are
// left.
uint64_t KeepOthers(const float* row, uint64_t begin, uint64_t end, std::span<const uint32_t> excluded, float* kept);

}  // namespace ingot

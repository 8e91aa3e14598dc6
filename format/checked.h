// Overflow-safe arithmetic on sizes and offsets that come from a file. Every range check of the project goes through
// here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace ingot {

// a + b, or nothing if it does not fit in 64 bits.
inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

// a * b, or nothing if it does not fit in 64 bits.
inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// The product of all values (1 for none), or nothing if it does not fit. A zero factor gives zero, whatever the others
// are.
inline std::optional<uint64_t> CheckedProduct(std::span<const uint64_t> values) {
  for (uint64_t v : values) {
    if (v == 0) return 0;
  }
  uint64_t product = 1;
  for (uint64_t v : values) {
    auto next = CheckedMul(product, v);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

// Whether [offset, offset + length) lies within [0, limit).
inline bool InRange(uint64_t offset, uint64_t length, uint64_t limit) {
  return length <= limit && offset <= limit - length;
}

// ceil(a / b) without overflow; b > 0.
inline uint64_t CeilDiv(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

// `value` rounded up to a multiple of `unit` (a power of two), or nothing if that does not fit.
inline std::optional<uint64_t> CheckedAlign(uint64_t value, uint64_t unit) {
  auto sum = CheckedAdd(value, unit - 1);
  if (!sum) return std::nullopt;
  return *sum & ~(unit - 1);
}

}  // namespace ingot

#include "format/checked.h"

#include <doctest/doctest.h>

#include <vector>

namespace ingot {
namespace {

constexpr uint64_t kMax = UINT64_MAX;
__extension__ using Wide = unsigned __int128;

// Values around every edge that sums and products have.
std::vector<uint64_t> Edges() {
  std::vector<uint64_t> edges = {0,           1, 2, 3, 7, 0xFFFFFFFFu, 0x100000000u, 0x100000001u, 0x5555555555555555u,
                                 kMax / 3 + 1};
  for (int bit : {31, 32, 33, 48, 62, 63}) {
    for (uint64_t d : {uint64_t{0}, uint64_t{1}, kMax}) edges.push_back((uint64_t{1} << bit) + d);
  }
  for (uint64_t d = 0; d < 3; ++d) edges.push_back(kMax - d);
  return edges;
}

TEST_CASE("sums, products, quotients and ranges agree with 128-bit arithmetic") {
  const std::vector<uint64_t> edges = Edges();
  for (uint64_t a : edges) {
    for (uint64_t b : edges) {
      CAPTURE(a);
      CAPTURE(b);
      const Wide sum = Wide{a} + b, product = Wide{a} * b;
      CHECK(CheckedAdd(a, b).has_value() == (sum <= kMax));
      CHECK(CheckedMul(a, b).has_value() == (product <= kMax));
      if (sum <= kMax) CHECK(*CheckedAdd(a, b) == static_cast<uint64_t>(sum));
      if (product <= kMax) CHECK(*CheckedMul(a, b) == static_cast<uint64_t>(product));
      if (b != 0) CHECK(CeilDiv(a, b) == static_cast<uint64_t>((Wide{a} + b - 1) / b));
      for (uint64_t limit : edges) CHECK(InRange(a, b, limit) == (sum <= limit));
    }
  }
}

TEST_CASE("products of many: zero wins over overflow") {
  const auto product = [](std::vector<uint64_t> values) { return CheckedProduct(values); };
  CHECK(product({}) == 1u);
  CHECK(product({7}) == 7u);
  CHECK(product({kMax, 1}) == kMax);
  CHECK(product({kMax, 2}) == std::nullopt);
  CHECK(product({kMax, kMax, 0}) == 0u);
  CHECK(product({0, kMax, kMax}) == 0u);
  CHECK(product({uint64_t{1} << 32, uint64_t{1} << 31}) == uint64_t{1} << 63);
  CHECK(product({uint64_t{1} << 32, uint64_t{1} << 32}) == std::nullopt);
  CHECK(product({uint64_t{1} << 22, uint64_t{1} << 22, uint64_t{1} << 22}) == std::nullopt);
}

TEST_CASE("rounding up to a unit") {
  for (uint64_t unit : {uint64_t{1}, uint64_t{8}, uint64_t{256}, uint64_t{1} << 21, uint64_t{1} << 63}) {
    for (uint64_t value : Edges()) {
      CAPTURE(unit);
      CAPTURE(value);
      const Wide expected = (Wide{value} + unit - 1) / unit * unit;
      // What overflows on the way does not fit in the end either, except that the sum itself is what is checked.
      const auto aligned = CheckedAlign(value, unit);
      CHECK(aligned.has_value() == (Wide{value} + unit - 1 <= kMax));
      if (aligned) CHECK(*aligned == static_cast<uint64_t>(expected));
      if (!aligned) CHECK(expected > kMax);
    }
  }
}

}  // namespace
}  // namespace ingot

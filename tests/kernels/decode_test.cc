// The row-wise decoder has the bits of the scalar reference: over random encodings, rows that cross its pieces of 2048
// columns, and ranges that begin and end anywhere.
#include <doctest/doctest.h>

#include <vector>

#include "kernels/matrix.h"
#include "tests/support/formula.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {
namespace {

void CheckRange(const OwnedMatrix& m, uint64_t first, uint64_t count) {
  std::vector<float> expected(count), found(count);
  reference::DecodeElements(m.matrix, first, count, expected.data());
  DecodeElements(m.matrix, first, count, found.data());
  CAPTURE(first);
  CAPTURE(count);
  REQUIRE(CountDifferences(found, expected) == 0);
}

void CheckMatrix(const Numbers& n, Dice& dice) {
  const OwnedMatrix m(n);
  CAPTURE(Describe(n.linear, {}));
  const uint64_t all = n.linear.rows * n.linear.cols;
  CheckRange(m, 0, all);
  for (int i = 0; i < 4; ++i) {
    const uint64_t first = dice.Below(all);
    CheckRange(m, first, 1 + dice.Below(all - first));
  }
}

TEST_CASE("small encodings at random") {
  Dice dice(11);
  for (int i = 0; i < 2000; ++i) {
    CheckMatrix(dice.Fill(dice.AnyLinear(1 + dice.Below(6), 1 + dice.Below(200), false)), dice);
  }
}

TEST_CASE("rows of several pieces at random") {
  Dice dice(12);
  for (int i = 0; i < 60; ++i) {
    CheckMatrix(dice.Fill(dice.AnyLinear(1 + dice.Below(3), 2000 + dice.Below(4200), false)), dice);
  }
}

TEST_CASE("every width, group sizes around the packing unit") {
  Dice dice(13);
  for (int bits = 1; bits <= 8; ++bits) {
    for (uint64_t group : {1, 3, 32, 63, 64, 65, 128, 300}) {
      Linear l;
      l.bits = bits, l.rows = 2, l.cols = 300, l.group_rows = 1, l.group_cols = group;
      l.s = Operand::Array(DType::kF16);
      l.z = Operand::Nested();
      CheckMatrix(dice.Fill(l), dice);
    }
  }
}

}  // namespace
}  // namespace ingot::test

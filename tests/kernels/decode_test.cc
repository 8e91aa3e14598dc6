// The row-wise decoder has the bits of the scalar reference: over random encodings, rows that cross its pieces of 4096
// columns, and ranges that begin and end anywhere.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels/decode.h"
#include "kernels/matrix.h"
#include "kernels/targets.h"
#include "kernels/widen.h"
#include "tests/support/formula.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {
namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// On every target: into memory that begins and ends anywhere (`offset` elements after a line of the cache), past the
// caches or not, to each type; nothing is written beyond the range.
template <typename T>
void CheckType(const OwnedMatrix& m, uint64_t first, const std::vector<float>& expected, DType type, size_t offset) {
  const size_t count = expected.size();
  std::vector<T> narrow(count);
  NarrowFromF32(type, expected.data(), count, reinterpret_cast<std::byte*>(narrow.data()));
  for (const bool stream : {false, true}) {
    const size_t room = offset + count + 1;
    const std::unique_ptr<T[], Free> found(static_cast<T*>(std::aligned_alloc(64, (room * sizeof(T) + 63) / 64 * 64)));
    std::fill_n(found.get(), room, T{7});
    DecodeTo(m.matrix, first, count, type, found.get() + offset, stream);
    CAPTURE(stream);
    REQUIRE(found[offset + count] == T{7});
    if (offset > 0) REQUIRE(found[offset - 1] == T{7});
    std::vector<float> wide(count), wanted(count);
    WidenToF32(type, reinterpret_cast<const std::byte*>(found.get() + offset), count, wide.data());
    WidenToF32(type, reinterpret_cast<const std::byte*>(narrow.data()), count, wanted.data());
    REQUIRE(CountDifferences(wide, wanted) == 0);
  }
}

void CheckRange(const OwnedMatrix& m, uint64_t first, uint64_t count) {
  std::vector<float> expected(count);
  reference::DecodeElements(m.matrix, first, count, expected.data());
  CAPTURE(first);
  CAPTURE(count);
  for (const std::string& target : AvailableTargets()) {
    REQUIRE(SetTarget(target));
    CAPTURE(target);
    CheckType<float>(m, first, expected, DType::kF32, first % 17);
    CheckType<uint16_t>(m, first, expected, DType::kF16, first % 17);
    CheckType<uint16_t>(m, first, expected, DType::kBF16, first % 17);
  }
  REQUIRE(SetTarget(""));
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
  ForWidthsAndGroups(dice, [&](const Numbers& n) { CheckMatrix(n, dice); });
}

// What the widest kernels take: rows of whole units, groups of whole units or parts of one, memory at a line of the
// cache. Operands have all magnitudes: where they leave the ordinary ones, shortcuts end.
TEST_CASE("whole units") {
  Dice dice(14);
  for (int bits = 1; bits <= 8; ++bits) {
    for (const uint64_t group : {8, 16, 32, 64, 128, 192, 384}) {
      for (const int extreme : {0, -39, -41, -101, -126, 99, 101, 120}) {
        Linear l;
        l.bits = bits, l.rows = 3, l.cols = 384, l.group_cols = group, l.codebook = dice.Below(4) == 0;
        l.s = Operand::Array(DType::kF32);
        if (dice.Half()) l.z = Operand::Array(DType::kF32);
        if (dice.Below(4) == 0) l.o = Operand::Array(DType::kF32);
        Numbers n = dice.Fill(l);
        const auto operand = static_cast<size_t>(dice.Below(3));
        for (float& f : n.groups[operand].array) {
          if (extreme != 0 && dice.Below(8) == 0) f = std::ldexp(f, extreme);
        }
        const OwnedMatrix m(n);
        CAPTURE(Describe(l, {}));
        CAPTURE(extreme);
        CheckRange(m, 0, 3 * 384);
        CheckRange(m, 17 * 16, 3 * 384 - 17 * 16);
        CheckRange(m, 17 * 64, 64);
      }
    }
  }
}

// More columns than are taken at once where no buffer is needed, and more groups than operands are fetched for.
TEST_CASE("more than a stretch of whole units") {
  Dice dice(15);
  for (const int bits : {3, 4, 5, 8}) {
    for (const uint64_t group : {8, 16, 64, 4096}) {
      Linear l;
      l.bits = bits, l.rows = 18, l.cols = 4096, l.group_cols = group;
      l.s = Operand::Array(DType::kF16);
      l.z = group == 4096 ? Operand::Constant(3.0f) : Operand::Nested();
      const OwnedMatrix m(dice.Fill(l));
      CAPTURE(Describe(l, {}));
      CheckRange(m, 0, 18 * 4096);
      CheckRange(m, 1000, 17 * 4096);
    }
  }
}

}  // namespace
}  // namespace ingot::test

// The bytes that a slice needs: nothing else has a say in its values, and few that it does not need are among them.
#include "runtime/slice_planes.h"

#include <doctest/doctest.h>

#include <map>

#include "format/packing.h"
#include "kernels/matrix.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {
namespace {

// The planes of numbers and their children are numbered one after the other, the children's first.
struct Numbered {
  EncodingPlanes own;
  std::vector<EncodingPlanes> children;
  uint32_t planes = 0;
};

EncodingPlanes PlanesOfNumbers(const Numbers& n, uint32_t first) {
  EncodingPlanes planes;
  planes.first_plane = first;
  planes.nested = n.nested;
  planes.linear = n.linear;
  planes.specs = PlanesOf(n.linear, n.nested);
  return planes;
}

Numbered NumberPlanes(const Numbers& n) {
  Numbered out;
  for (int i = 0; i < 3; ++i) {
    if (n.operand(i).form != OperandForm::kNested) continue;
    out.children.push_back(PlanesOfNumbers(*n.groups[static_cast<size_t>(i)].nested, out.planes));
    out.planes += static_cast<uint32_t>(out.children.back().specs.size());
  }
  out.own = PlanesOfNumbers(n, out.planes);
  out.planes += static_cast<uint32_t>(out.own.specs.size());
  return out;
}

// Every byte of a plane that is in no range becomes 0xFF. Returns how many bytes are in one.
uint64_t Poison(std::vector<Bytes>& planes, const EncodingPlanes& of,
                const std::multimap<uint32_t, PlaneRange>& ranges) {
  uint64_t used = 0;
  for (size_t i = 0; i < planes.size(); ++i) {
    if (HoldsIndices(of.specs[i].role)) continue;
    std::vector<bool> needed(planes[i].size());
    const auto [begin, end] = ranges.equal_range(of.first_plane + static_cast<uint32_t>(i));
    for (auto at = begin; at != end; ++at) {
      REQUIRE(at->second.offset + at->second.size <= planes[i].size());
      for (uint64_t b = 0; b < at->second.size; ++b) needed[at->second.offset + b] = true;
    }
    for (size_t b = 0; b < planes[i].size(); ++b) {
      if (!needed[b]) planes[i][b] = std::byte{0xFF};
      used += needed[b];
    }
  }
  return used;
}

void CheckSlice(const Numbers& n, const ViewSlice& slice) {
  OwnedMatrix whole(n), poisoned(n);
  const Numbered numbered = NumberPlanes(n);
  std::multimap<uint32_t, PlaneRange> ranges;
  ForPlaneRanges(numbered.own, numbered.children, whole.matrix, slice, [&](const PlaneRange& range) {
    REQUIRE(range.plane < numbered.planes);
    ranges.emplace(range.plane, range);
  });
  Poison(poisoned.planes, numbered.own, ranges);
  for (size_t i = 0; i < numbered.children.size(); ++i)
    Poison(poisoned.children[i]->planes, numbered.children[i], ranges);
  for (uint64_t r = slice.row; r <= slice.last_row; ++r) {
    const uint64_t begin = slice.flat && r > slice.row ? 0 : slice.begin;
    const uint64_t end = slice.flat && r < slice.last_row ? n.linear.cols : slice.end;
    std::vector<float> a(end - begin), b(end - begin);
    reference::DecodeElements(whole.matrix, r * n.linear.cols + begin, end - begin, a.data());
    reference::DecodeElements(poisoned.matrix, r * n.linear.cols + begin, end - begin, b.data());
    REQUIRE(CountDifferences(a, b) == 0);
  }
}

TEST_CASE("no other byte has a say in the values of a slice") {
  Dice dice(7);
  for (int round = 0; round < 1500; ++round) {
    const uint64_t rows = 1 + dice.Below(9), cols = 1 + dice.Below(300);
    const Numbers n = dice.Fill(dice.AnyLinear(rows, cols, false));
    ViewSlice slice;
    if (dice.Half()) {
      const uint64_t first = dice.Below(rows * cols);
      slice = FlatSlice(cols, first, 1 + dice.Below(rows * cols - first));
    } else {
      slice.row = dice.Below(rows), slice.last_row = slice.row + dice.Below(rows - slice.row);
      slice.begin = dice.Below(cols), slice.end = slice.begin + 1 + dice.Below(cols - slice.begin);
    }
    CheckSlice(n, slice);
  }
}

// The bytes of all ranges of a slice of an encoding, planes that hold indices apart.
uint64_t BytesOf(const Linear& l, const ViewSlice& slice) {
  EncodingPlanes own;
  own.linear = l;
  own.specs = PlanesOf(l, false);
  uint64_t sum = 0;
  ForPlaneRanges(own, {}, EncodedMatrix{}, slice, [&](const PlaneRange& range) { sum += range.size; });
  return sum;
}

TEST_CASE("a slice needs its share") {
  Linear l;
  l.bits = 3;
  l.rows = 64, l.cols = 4096, l.group_rows = 1, l.group_cols = 128;
  l.s = Operand::Array(DType::kF16);
  const uint64_t row_bytes = 4096 / 8 * 3 + 32 * 2;
  CHECK(BytesOf(l, {0, 63, 0, 4096, false}) == 64 * row_bytes);
  CHECK(BytesOf(l, {16, 31, 0, 4096, false}) == 16 * row_bytes);
  CHECK(BytesOf(l, FlatSlice(4096, 16 * 4096, 16 * 4096)) == 16 * row_bytes);
  CHECK(BytesOf(l, {5, 5, 128, 256, false}) == 128 / 8 * 3 + 2);
  CHECK(BytesOf(l, {5, 5, 130, 131, false}) == 64 / 8 * 3 + 2);  // one unit, one group
  l.permutation = true;                                          // any stored column may be meant
  CHECK(BytesOf(l, {5, 5, 130, 131, false}) == row_bytes);
  l.permutation = false;
  l.rows = 4, l.cols = uint64_t{1} << 24;  // rows longer than a chunk: the columns of each
  l.s = {};
  CHECK(BytesOf(l, {0, 3, 0, 1 << 20, false}) == 4 * (1 << 20) / 8 * 3);
  // HQQ's axis 0: a view of (group size, rest), each group a column of it.
  l = Linear{};
  l.bits = 4;
  l.rows = 64, l.cols = 1 << 16, l.group_rows = 64, l.group_cols = 1;
  l.s = Operand::Array(DType::kF16);
  CHECK(BytesOf(l, FlatSlice(1 << 16, 0, 1 << 16)) == (1 << 15) + (2 << 16));
  CHECK(BytesOf(l, FlatSlice(1 << 16, 1 << 15, 1 << 15)) == (1 << 14) + (1 << 16));
  CHECK(BytesOf(l, FlatSlice(1 << 16, 16 << 16, 16 << 16)) == (16 << 15) + (2 << 16));
}

}  // namespace
}  // namespace ingot::test

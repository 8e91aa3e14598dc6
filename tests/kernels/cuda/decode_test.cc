// The decoding kernels, on a GPU or under the executor, have the bits of the scalar reference: over random encodings,
// ranges that begin and end anywhere, and in several orders of the threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/decode_plan.h"
#include "kernels/widen.h"
#include "tests/kernels/cuda/device_matrix.h"
#include "tests/support/formula.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {
namespace {

const bool kQuick = std::getenv("INGOT_QUICK") != nullptr;

// Into memory that begins `offset` elements after a multiple of 256 bytes; nothing beyond the range is lent.
void CheckType(const DeviceMatrix& device, uint64_t first, const std::vector<float>& expected, DType type,
               size_t offset, unsigned seed) {
  const size_t count = expected.size(), size = InfoOf(type).size;
  AlignedBytes found((offset + count) * size);
  std::byte* out = found.data() + offset * size;
  simt::Memory memory = device.memory;
  memory.Lend(out, count * size, "out");
  for (const cuda::DecodeStep& step : cuda::PlanDecode(device.view, first, count, type, out, 2)) {
    REQUIRE(RunStep(memory, step, seed) == "");
  }
  std::vector<std::byte> narrow(count * size);
  NarrowFromF32(type, expected.data(), count, narrow.data());
  std::vector<float> wide(count), wanted(count);
  WidenToF32(type, out, count, wide.data());
  WidenToF32(type, narrow.data(), count, wanted.data());
  REQUIRE(CountDifferences(wide, wanted) == 0);
}

// A slice into rows that are further apart than they are long: nothing between them is lent.
void CheckSlice(const OwnedMatrix& m, const DeviceMatrix& device, const MatrixSlice& slice, DType type, Dice& dice) {
  const uint64_t stride = slice.columns + (dice.Half() ? 8 : dice.Below(3) * 64), size = InfoOf(type).size;
  AlignedBytes found(slice.rows * stride * size);
  simt::Memory memory = device.memory;
  for (uint64_t r = 0; r < slice.rows; ++r)
    memory.Lend(found.data() + r * stride * size, slice.columns * size, "row " + std::to_string(r));
  const auto seed = static_cast<unsigned>(dice.Below(4));
  const auto steps = cuda::PlanDecode(device.view, slice, type, found.data(), stride, 2);
  REQUIRE(steps.size() <= 4);
  for (const cuda::DecodeStep& step : steps) {
    REQUIRE(RunStep(memory, step, seed) == "");
  }
  std::vector<float> expected(slice.columns), wide(slice.columns), wanted(slice.columns);
  std::vector<std::byte> narrow(slice.columns * size);
  for (uint64_t r = 0; r < slice.rows; ++r) {
    reference::DecodeElements(m.matrix, (slice.row + r) * m.matrix.linear.cols + slice.column, slice.columns,
                              expected.data());
    NarrowFromF32(type, expected.data(), slice.columns, narrow.data());
    WidenToF32(type, narrow.data(), slice.columns, wanted.data());
    WidenToF32(type, found.data() + r * stride * size, slice.columns, wide.data());
    REQUIRE(CountDifferences(wide, wanted) == 0);
  }
}

MatrixSlice AnySlice(Dice& dice, uint64_t rows, uint64_t columns) {
  MatrixSlice s;
  s.row = dice.Below(rows), s.rows = 1 + dice.Below(rows - s.row);
  s.column = dice.Half() ? dice.Below(columns) : dice.Below(columns) / 64 * 64;
  s.columns = dice.Half() ? columns - s.column : 1 + dice.Below(columns - s.column);
  return s;
}

void CheckRange(const OwnedMatrix& m, const DeviceMatrix& device, uint64_t first, uint64_t count, Dice& dice) {
  std::vector<float> expected(count);
  reference::DecodeElements(m.matrix, first, count, expected.data());
  CAPTURE(first);
  CAPTURE(count);
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    CAPTURE(InfoOf(type).name);
    CheckType(device, first, expected, type, dice.Half() ? 0 : dice.Below(17), static_cast<unsigned>(dice.Below(4)));
  }
}

void CheckMatrix(const Numbers& n, Dice& dice, int ranges = 2) {
  const OwnedMatrix m(n);
  const DeviceMatrix device(m.matrix);
  CAPTURE(Describe(n.linear, {}));
  const uint64_t all = n.linear.rows * n.linear.cols;
  CheckRange(m, device, 0, all, dice);
  for (int i = 0; i < ranges; ++i) {
    const uint64_t first = dice.Below(all);
    CheckRange(m, device, first, 1 + dice.Below(all - first), dice);
    const DType type = dice.Type();
    CheckSlice(m, device, AnySlice(dice, n.linear.rows, n.linear.cols), type, dice);
  }
}

TEST_CASE("small encodings at random") {
  Dice dice(21);
  for (int i = 0; i < (kQuick ? 300 : 2000); ++i) {
    CheckMatrix(dice.Fill(dice.AnyLinear(1 + dice.Below(6), 1 + dice.Below(200), false)), dice);
  }
}

TEST_CASE("long rows at random") {
  Dice dice(22);
  for (int i = 0; i < (kQuick ? 5 : 40); ++i) {
    CheckMatrix(dice.Fill(dice.AnyLinear(1 + dice.Below(3), 2000 + dice.Below(4200), false)), dice);
  }
}

TEST_CASE("every width, group sizes around the packing unit") {
  Dice dice(23);
  ForWidthsAndGroups(dice, [&](const Numbers& n) { CheckMatrix(n, dice); });
}

TEST_CASE("what leaves its planes is refused before any launch") {
  Dice dice(27);
  Linear l;
  l.bits = 4, l.rows = 3, l.cols = 100, l.group_rows = 1, l.group_cols = 50, l.permutation = true;
  l.s = Operand::Array(DType::kF16), l.z = Operand::Nested();
  l.outliers = OutlierForm::kUnstructured, l.outlier_count = 9;
  const OwnedMatrix good(dice.Fill(l));
  const auto made = [](const EncodedMatrix& m) {
    return cuda::MakeMatrixView(m, [](ByteSpan plane) { return plane.data(); }).has_value();
  };
  CHECK(made(good.matrix));
  const auto refused = [&](const auto& change) {
    EncodedMatrix m = good.matrix;
    change(m);
    return !made(m);
  };
  CHECK(refused([](EncodedMatrix& m) { m.codes[0] = m.codes[0].first(m.codes[0].size() - 1); }));
  CHECK(refused([](EncodedMatrix& m) { m.s = m.s.first(2); }));
  CHECK(refused([](EncodedMatrix& m) { m.linear.rows = 4; }));
  CHECK(refused([](EncodedMatrix& m) { m.linear.group_cols = 0; }));
  CHECK(refused([](EncodedMatrix& m) { m.linear.bits = 9; }));
  CHECK(refused([](EncodedMatrix& m) { m.stored_column[7] = 100; }));
  CHECK(refused([](EncodedMatrix& m) { m.children.clear(); }));
  CHECK(refused([](EncodedMatrix& m) { m.children[0].linear.cols += 1; }));
  Bytes starts(good.matrix.outlier_rows.begin(), good.matrix.outlier_rows.end());
  Bytes columns(good.matrix.outlier_columns.begin(), good.matrix.outlier_columns.end());
  Store<uint64_t>(starts.data() + 8, 10);
  Store<uint16_t>(columns.data() + 2, 100);
  CHECK(refused([&](EncodedMatrix& m) { m.outlier_rows = starts; }));
  CHECK(refused([&](EncodedMatrix& m) { m.outlier_columns = columns; }));
}

// An encoding that DecodeFlat may take, of the kinds that files have and of all forms that its ways allow.
Linear FlatLinear(Dice& dice, int bits) {
  Linear l;
  l.bits = bits;
  l.group_cols = std::vector<uint64_t>{32, 64, 64, 128, 128, 192, 256, 320, 1024, 4160}[dice.Below(10)];
  l.cols = dice.Below(4) == 0 ? l.group_cols : 64 * (l.group_cols / 32) * (1 + dice.Below(1 + 4096 / l.group_cols));
  l.rows = 1 + dice.Below(5);
  if (dice.Below(8) == 0) l.rows = 1, l.cols += dice.Below(64);
  if (l.rows > 1 && l.cols % 64 != 0) l.cols = 64;
  l.group_cols = std::min(l.group_cols, l.cols);
  l.result = dice.Type();
  l.codebook = dice.Below(4) == 0;
  l.s = dice.AnyOperand(l.group_count(), true, 1.0f);
  if (dice.Half() && l.group_count() > 1) l.s = Operand::Array(DType::kF16);
  l.z = dice.AnyOperand(l.group_count(), true, 0.0f);
  if (dice.Half()) l.z = Operand::Constant(std::vector<float>{8, 1, 16, -3, 128, 15, 600, 0.5f}[dice.Below(8)]);
  if (dice.Below(4) == 0) l.o = dice.AnyOperand(l.group_count(), true, 0.0f);
  if (dice.Below(8) == 0) l.t = Operand::Constant(0x1.02040ap-7f);
  if (dice.Half()) l.codebook = false, l.o = l.t = {}, l.result = dice.Half() ? DType::kF32 : DType::kF16;
  if (dice.Below(4) == 0) l.outliers = dice.Half() ? OutlierForm::kColumns : OutlierForm::kUnstructured;
  if (l.outliers != OutlierForm::kNone) l.outlier_count = 1 + dice.Below(l.cols), l.outlier_type = dice.Type();
  if (!l.codebook && dice.Below(8) == 0) l.arithmetic = DType::kF16;
  return l;
}

// Makes nested zero-points integers: plain codes, or with a constant to subtract.
void MakeZerosIntegers(Numbers& n, Dice& dice) {
  if (n.linear.z.form != OperandForm::kNested) return;
  Linear l;
  l.bits = static_cast<int>(1 + dice.Below(8)), l.rows = n.linear.groups_down(), l.cols = n.linear.groups_across();
  l.group_rows = l.rows, l.group_cols = l.cols;
  if (dice.Half()) l.z = Operand::Constant(-1);
  n.groups[1].nested = std::make_shared<Numbers>(dice.Fill(l, true));
}

TEST_CASE("whole units in whole groups, every width, each way of decoding them") {
  Dice dice(24);
  std::vector<int> used(8);  // kernels
  const int least = kQuick ? 160 : 800;
  const auto some_unused = [&] { return std::count(used.begin(), used.end(), 0) > 0; };
  for (int i = 0; i < least || (some_unused() && i < 10 * least); ++i) {
    const int bits = 1 + i % 8;
    Numbers n = dice.Fill(FlatLinear(dice, bits));
    if (dice.Half()) MakeZerosIntegers(n, dice);
    CheckMatrix(n, dice, 1);
    const OwnedMatrix m(n);
    const DeviceMatrix device(m.matrix);
    const uint64_t all = n.linear.rows * n.linear.cols;
    AlignedBytes out(all * sizeof(float));
    for (DType type : {DType::kF32, DType::kF16}) {
      for (const cuda::DecodeStep& step : cuda::PlanDecode(device.view, 0, all, type, out.data(), 2))
        ++used[static_cast<size_t>(step.kernel)];
    }
  }
  CHECK(!some_unused());  // the cases reach every way
}

TEST_CASE("scales of all bits, zero-points from 0 to 31: halves and floats have the bits of the reference") {
  Dice dice(25);
  for (int bits : {2, 3, 4, 8}) {
    Linear l;
    l.bits = bits, l.rows = 4, l.cols = 8192, l.group_rows = 1, l.group_cols = 64;
    l.s = Operand::Array(DType::kF16);
    l.z = Operand::Nested();
    Numbers n = dice.Fill(l);
    Linear z;
    z.bits = bits == 4 ? 5 : 4, z.rows = 4, z.cols = 128, z.group_rows = 4, z.group_cols = 128;
    n.groups[1].nested = std::make_shared<Numbers>(dice.Fill(z, true));
    const uint32_t step = kQuick ? 16 : 1;
    for (uint32_t first = 0; first < 65536; first += 512 * step) {
      for (uint32_t i = 0; i < 512; ++i) n.groups[0].array[i] = F16ToF32(static_cast<uint16_t>(first + i));
      CheckMatrix(n, dice, 0);
    }
  }
}

}  // namespace
}  // namespace ingot::test

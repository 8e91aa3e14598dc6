// The decoding kernels for GPUs, run by the executor, have the bits of the scalar reference: over random encodings,
// ranges that begin and end anywhere, and in several orders of the threads.
#include <doctest/doctest.h>

#include <cstdlib>
#include <vector>

#include "kernels/cuda/decode_kernels.cuh"
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
    const cuda::DecodeFunction function = cuda::FunctionFor(step);
    const simt::LaunchOptions options = {
        .grid = step.grid, .block = step.block, .dynamic_shared = step.shared_bytes, .seed = seed};
    const simt::Report report = simt::Launch(memory, options, [&] { function(step.params); });
    REQUIRE(report.error == "");
  }
  std::vector<std::byte> narrow(count * size);
  NarrowFromF32(type, expected.data(), count, narrow.data());
  std::vector<float> wide(count), wanted(count);
  WidenToF32(type, out, count, wide.data());
  WidenToF32(type, narrow.data(), count, wanted.data());
  REQUIRE(CountDifferences(wide, wanted) == 0);
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

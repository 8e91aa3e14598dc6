// Decoding kernels with something left out must fail under the executor, or give wrong values.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/decode_plan.h"
#include "tests/kernels/cuda/device_matrix.h"
#include "tests/support/formula.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {
namespace {

// The first error of decoding a matrix to f16 with a fault, or "differs" or "the same".
std::string DecodeWith(simt::Fault fault, const Numbers& n) {
  const OwnedMatrix m(n);
  const DeviceMatrix device(m.matrix);
  const uint64_t count = n.linear.rows * n.linear.cols;
  std::vector<float> expected(count), found(count);
  reference::DecodeElements(m.matrix, 0, count, expected.data());
  AlignedBytes out(count * sizeof(float));
  simt::Memory memory = device.memory;
  memory.Lend(out.data(), out.size(), "out");
  for (const cuda::DecodeStep& step : cuda::PlanDecode(device.view, 0, count, DType::kF32, out.data(), 2)) {
    const cuda::DecodeFunction function = cuda::FunctionFor(step);
    const simt::LaunchOptions options = {
        .grid = step.grid, .block = step.block, .dynamic_shared = step.shared_bytes, .fault = fault};
    const simt::Report report = simt::Launch(memory, options, [&] { function(step.params); });
    if (!report.error.empty()) return report.error;
  }
  std::memcpy(found.data(), out.data(), out.size());
  return CountDifferences(found, expected) == 0 ? "the same" : "differs";
}

TEST_CASE("without its barriers, or with wrong shuffles, a kernel does not pass") {
  Dice dice(26);
  Linear l;
  l.bits = 8, l.rows = 4, l.cols = 1024, l.group_rows = 1, l.group_cols = 64, l.codebook = true;
  l.s = Operand::Array(DType::kF16);
  Numbers n = dice.Fill(l);
  CHECK(DecodeWith(simt::Fault::kNone, n) == "the same");
  CHECK(DecodeWith(simt::Fault::kNoBarriers, n).find("race") != std::string::npos);
  CHECK(DecodeWith(simt::Fault::kWrongShuffles, n) == "differs");
  n.linear.group_cols = 1024, n.linear.s = {}, n.linear.arithmetic = DType::kBF16;  // by DecodeAny
  CHECK(DecodeWith(simt::Fault::kNone, n) == "the same");
  CHECK(DecodeWith(simt::Fault::kNoBarriers, n).find("race") != std::string::npos);
}

}  // namespace
}  // namespace ingot::test

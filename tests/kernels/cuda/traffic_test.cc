// What the kernels for common encodings move: every sector of codes, operands and output once and whole.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/decode_plan.h"
#include "kernels/cuda/product_kernels.h"
#include "tests/kernels/cuda/product_run.h"
#include "tests/support/formula.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {
namespace {

simt::Counts CountDecode(const Numbers& n, DType type, size_t* plane_bytes) {
  const OwnedMatrix m(n);
  const DeviceMatrix device(m.matrix);
  const uint64_t all = n.linear.rows * n.linear.cols;
  AlignedBytes out(all * InfoOf(type).size);
  simt::Memory memory = device.memory;
  memory.Lend(out.data(), out.size(), "out");
  const std::vector<cuda::DecodeStep> steps = cuda::PlanDecode(device.view, 0, all, type, out.data(), 2);
  REQUIRE(steps.size() == 1);
  const cuda::DecodeFunction function = cuda::FunctionFor(steps[0]);
  const simt::Report report = simt::Launch(
      memory, {.grid = steps[0].grid, .block = steps[0].block, .dynamic_shared = steps[0].shared_bytes, .count = true},
      [&] { function(steps[0].params); });
  REQUIRE(report.error == "");
  *plane_bytes = device.bytes;
  return report.counts;
}

// A line of the table of tools/bench/cuda-counts.
void PrintCounts(const Linear& l, DType type, const simt::Counts& counts, size_t planes) {
  static bool headed = false;
  if (!headed)
    std::puts(
        "| bits | group | out | bytes read per weight | of the planes | sectors per load | written whole | bank "
        "conflicts |\n"
        "|---|---|---|---|---|---|---|---|");
  headed = true;
  const simt::Requests &loads = counts.global_loads, &stores = counts.global_stores;
  const auto read = static_cast<double>(loads.sectors) * 32;
  std::printf("| %d | %d | %s | %.4f | %.4f | %.1f | %.0f %% | %d |\n", l.bits, static_cast<int>(l.group_cols),
              std::string(InfoOf(type).name).c_str(), read / static_cast<double>(l.rows * l.cols),
              read / static_cast<double>(planes), static_cast<double>(loads.sectors) / static_cast<double>(loads.count),
              100.0 * static_cast<double>(stores.whole) / static_cast<double>(stores.sectors),
              static_cast<int>(counts.bank_conflicts));
}

TEST_CASE("bytes read within 2 % of the planes, whole sectors written, no bank conflicts") {
  Dice dice(31);
  for (int bits = 1; bits <= 8; ++bits) {
    for (uint64_t group : {32, 64, 128, 4096}) {
      for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
        Linear l;
        l.bits = bits, l.rows = 32, l.cols = 4096, l.group_rows = 1, l.group_cols = group;
        l.s = Operand::Array(DType::kF16);
        l.z = Operand::Constant(static_cast<float>(1 << (bits - 1)));
        CAPTURE(bits);
        CAPTURE(group);
        CAPTURE(InfoOf(type).name);
        size_t planes = 0;
        const simt::Counts counts = CountDecode(dice.Fill(l), type, &planes);
        CHECK(static_cast<double>(counts.global_loads.sectors) * 32 <= 1.02 * static_cast<double>(planes));
        CHECK(counts.global_stores.sectors * 32 == l.rows * l.cols * InfoOf(type).size);
        CHECK(counts.global_stores.whole == counts.global_stores.sectors);
        CHECK(counts.bank_conflicts == 0);
        if (std::getenv("INGOT_PRINT_COUNTS") != nullptr) PrintCounts(l, type, counts, planes);
      }
    }
  }
}

void PrintProduct(const ProductMatrix& m, const ProductCase& c, const ProductRun& run, const simt::Counts& counts) {
  static bool headed = false;
  if (!headed)
    std::puts(
        "| bits | rows of x | shared memory, bytes | codes and operands read per weight | of the planes | whole "
        "sectors "
        "| bank conflicts |\n"
        "|---|---|---|---|---|---|---|");
  headed = true;
  const simt::Requests& planes = counts.loads_of.at("planes");
  uint32_t shared = 0;
  for (const cuda::ProductStep& step : run.steps) shared = std::max(shared, step.shared_bytes);
  const auto read = static_cast<double>(planes.sectors) * 32;
  const Linear& l = m.n.linear;
  std::printf("| %d | %d | %u | %.4f | %.4f | %.0f %% | %d |\n", l.bits, static_cast<int>(c.x_rows), shared,
              read / static_cast<double>(l.rows * l.cols), read / static_cast<double>(m.device.bytes),
              100.0 * static_cast<double>(planes.whole) / static_cast<double>(planes.sectors),
              static_cast<int>(counts.bank_conflicts));
}

TEST_CASE("a product reads planes once, whole sectors, without bank conflicts") {
  Dice dice(36, false);
  for (int bits : {2, 3, 4, 8}) {
    for (uint64_t x_rows : {1, 16}) {
      Linear l;
      l.bits = bits, l.rows = 128, l.cols = 4096, l.group_rows = 1, l.group_cols = 128;
      l.s = Operand::Array(DType::kF16);
      l.z = Operand::Nested();
      Numbers numbers = dice.Fill(l);
      Linear z;
      z.bits = bits == 8 ? 8 : 4, z.rows = l.rows, z.cols = l.groups_across(), z.group_rows = z.rows,
      z.group_cols = z.cols;
      numbers.groups[1].nested = std::make_shared<Numbers>(dice.Fill(z, true));
      ProductMatrix m(numbers);
      ProductCase c;
      c.x_rows = x_rows;
      ProductRun run(m, c, dice);
      simt::Counts counts;
      run.run_step = [&](simt::Memory& memory, const cuda::ProductStep& step, unsigned seed) {
        if (step.kernel != cuda::ProductKernel::kTiles) return RunStep(memory, step, seed);
        const cuda::ProductFunction function = cuda::ProductFunctionFor(step);
        const simt::Report report = simt::Launch(
            memory, {.grid = step.grid, .block = step.block, .dynamic_shared = step.shared_bytes, .count = true},
            [&] { function(step.product); });
        counts = report.counts;
        return report.error;
      };
      REQUIRE(run.Run() == "");
      REQUIRE(run.Worst() <= 1);
      const simt::Requests& planes = counts.loads_of.at("planes");
      CAPTURE(bits);
      CAPTURE(planes.sectors * 32);
      CAPTURE(m.device.bytes);
      CHECK(static_cast<double>(planes.sectors * 32) <= 1.02 * static_cast<double>(m.device.bytes));
      CHECK(planes.whole == planes.sectors);
      CHECK(counts.bank_conflicts == 0);
      if (std::getenv("INGOT_PRINT_COUNTS") != nullptr) PrintProduct(m, c, run, counts);
    }
  }
}

TEST_CASE("codebooks: no bank conflicts") {
  Dice dice(32);
  for (int bits : {4, 8}) {
    Linear l;
    l.bits = bits, l.rows = 4, l.cols = 4096, l.group_rows = 1, l.group_cols = 64, l.codebook = true;
    l.s = Operand::Array(DType::kF32);
    size_t planes = 0;
    CHECK(CountDecode(dice.Fill(l), DType::kF16, &planes).bank_conflicts == 0);
  }
}

}  // namespace
}  // namespace ingot::test

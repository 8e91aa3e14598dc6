// Products on GPUs, or under the executor, against double precision, within the stated bound: every encoding, ragged
// shapes, few and many rows of activations, several orders of the threads.
#include <cstdlib>
#include <numeric>

#include "tests/kernels/cuda/product_run.h"

namespace ingot::test {
namespace {

using cuda::ProductKernel;
using cuda::ProductPrecision;

const bool kQuick = std::getenv("INGOT_QUICK") != nullptr;

bool Uses(const ProductRun& run, ProductKernel kernel) {
  for (const cuda::ProductStep& step : run.steps) {
    if (step.kernel == kernel) return true;
  }
  return false;
}

// `tiles`: whether tensor cores are expected to do it.
void Check(ProductMatrix& m, const ProductCase& c, Dice& dice, bool tiles) {
  ProductRun run(m, c, dice);
  CAPTURE(Describe(m.n.linear, {}));
  CAPTURE(m.n.linear.rows);
  CAPTURE(m.n.linear.cols);
  CAPTURE(m.n.linear.group_cols);
  CAPTURE(c.x_rows);
  CAPTURE(static_cast<int>(c.precision));
  CAPTURE(InfoOf(c.type).name);
  REQUIRE(run.Run() == "");
  const bool cores = c.type == DType::kF16 || c.limits.architecture >= 80 || c.precision != ProductPrecision::kNative;
  if (tiles && cores) REQUIRE(Uses(run, ProductKernel::kTiles));
  const double worst = run.Worst();
  REQUIRE(worst <= 1);
}

ProductCase AnyCase(Dice& dice) {
  ProductCase c;
  c.type = dice.Half() ? DType::kF16 : DType::kBF16;
  c.x_rows = dice.Half() ? 1 + dice.Below(16) : 1;
  c.add = dice.Half();
  c.seed = static_cast<unsigned>(dice.Below(4));
  c.limits.multiprocessors = 1 + static_cast<uint32_t>(dice.Below(3));
  return c;
}

Linear Simple(int bits, uint64_t rows, uint64_t cols, uint64_t group) {
  Linear l;
  l.bits = bits, l.rows = rows, l.cols = cols, l.group_rows = 1, l.group_cols = std::min(group, cols);
  l.s = Operand::Array(DType::kF16);
  return l;
}

TEST_CASE("products of encodings at random") {
  Dice dice(31, false);
  for (int i = 0; i < (kQuick ? 60 : 600); ++i) {
    ProductMatrix m(dice.Fill(dice.AnyLinear(1 + dice.Below(20), 1 + dice.Below(300), false)));
    if (!m.Bounded()) continue;
    Check(m, AnyCase(dice), dice, false);
  }
}

TEST_CASE("products on tensor cores: widths, group sizes, operands") {
  Dice dice(32, false);
  for (int bits : {2, 3, 4, 8}) {
    for (uint64_t group : {32, 64, 128, 192, 5000}) {
      for (int i = 0; i < (kQuick ? 1 : 6); ++i) {
        Linear l =
            Simple(bits, 1 + dice.Below(140), 64 * (2 + 2 * dice.Below(6)) - (i % 2 == 0 ? dice.Below(60) : 0), group);
        if (bits != 3 && dice.Half()) l.cols = 1 + dice.Below(700), l.group_cols = std::min(group, l.cols);
        l.codebook = dice.Below(3) == 0;
        l.s = dice.AnyOperand(l.group_count(), true, 1.0f), l.z = dice.AnyOperand(l.group_count(), true, 0.0f);
        l.o = dice.AnyOperand(l.group_count(), true, 0.0f), l.t = dice.AnyOperand(l.cols, false, 1.0f);
        l.permutation = l.cols > 1 && dice.Below(3) == 0;
        l.outliers = static_cast<OutlierForm>(dice.Below(3));
        if (l.outliers != OutlierForm::kNone) l.outlier_count = 1 + dice.Below(l.cols), l.outlier_type = dice.Type();
        ProductMatrix m(dice.Fill(l));
        if (!m.Bounded()) continue;
        Check(m, AnyCase(dice), dice, true);
      }
    }
  }
}

TEST_CASE("products with slices: rows from anywhere, columns from units, groups and anywhere") {
  Dice dice(37, false);
  for (int i = 0; i < (kQuick ? 60 : 400); ++i) {
    const uint64_t group = std::vector<uint64_t>{32, 64, 128, 100, 5000}[dice.Below(5)];
    const int bits = std::vector<int>{2, 3, 4, 5, 8}[dice.Below(5)];
    Linear l = Simple(bits, 2 + dice.Below(100), 128 * (2 + dice.Below(5)), group);
    if (dice.Below(4) == 0) l.group_rows = 1 + dice.Below(l.rows);
    l.z = dice.AnyOperand(l.group_count(), true, 0.0f), l.t = dice.AnyOperand(l.cols, false, 1.0f);
    l.codebook = dice.Below(4) == 0, l.permutation = dice.Below(4) == 0;
    l.outliers = static_cast<OutlierForm>(dice.Below(3));
    if (l.outliers != OutlierForm::kNone) l.outlier_count = 1 + dice.Below(l.cols), l.outlier_type = dice.Type();
    ProductMatrix m(dice.Fill(l));
    if (!m.Bounded()) continue;
    ProductCase c = AnyCase(dice);
    c.slice.row = dice.Below(l.rows), c.slice.rows = 1 + dice.Below(l.rows - c.slice.row);
    const uint64_t unit = dice.Below(3) == 0 ? 1 : std::lcm(uint64_t{128}, group == 100 || group == 5000 ? 1 : group);
    c.slice.column = dice.Below(l.cols / unit) * unit;
    c.slice.columns = 1 + dice.Below(l.cols - c.slice.column);
    if (dice.Half()) c.precision = dice.Half() ? ProductPrecision::kInt8 : ProductPrecision::kLlmInt8, c.large = true;
    if (c.precision == ProductPrecision::kNative || group != 100) Check(m, c, dice, false);
  }
}

TEST_CASE("products in 8 bits") {
  Dice dice(33, false);
  for (int bits : {2, 3, 4, 8}) {
    for (uint64_t group : {32, 128, 5000}) {
      for (ProductPrecision precision : {ProductPrecision::kInt8, ProductPrecision::kLlmInt8}) {
        Linear l = Simple(bits, 1 + dice.Below(80), 64 * (2 + 2 * dice.Below(5)), group);
        if (dice.Half()) l.z = Operand::Nested();
        if (dice.Half()) l.t = Operand::Constant(0.01f);
        l.permutation = dice.Below(3) == 0;
        ProductMatrix m(dice.Fill(l));
        if (!m.Bounded()) continue;
        ProductCase c = AnyCase(dice);
        c.precision = precision, c.large = true;
        Check(m, c, dice, true);
      }
    }
  }
}

TEST_CASE("many rows of activations, several passes") {
  Dice dice(34, false);
  for (uint64_t x_rows : {17, 33, 70}) {
    Linear l = Simple(4, 70, 320, 64);
    if (x_rows == 70) l.outliers = OutlierForm::kColumns, l.outlier_count = 3;
    ProductMatrix m(dice.Fill(l));
    ProductCase c = AnyCase(dice);
    c.x_rows = x_rows;
    if (x_rows == 33) c.limits.shared_bytes = 64 << 10;
    Check(m, c, dice, true);
    c.precision = ProductPrecision::kLlmInt8, c.large = true;
    Check(m, c, dice, true);
  }
}

TEST_CASE("slices of long rows") {
  Dice dice(35, false);
  for (uint64_t group : {32, 128, 9000}) {
    ProductMatrix m(dice.Fill(Simple(4, 20, 8192 + 64, group)));
    ProductCase c = AnyCase(dice);
    c.x_rows = 2, c.limits.multiprocessors = 3;
    Check(m, c, dice, true);
  }
}

}  // namespace
}  // namespace ingot::test

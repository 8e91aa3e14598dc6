// Products against double precision, within the bound of runtime/ingot.h: random encodings, every width, ragged shapes,
// slices, few and many rows of activations, every precision, on every target.
#include "kernels/product.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/gemv.h"
#include "kernels/targets.h"
#include "kernels/widen.h"
#include "tests/support/formula.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {
namespace {

// What the bound is made of, for each element of the matrix.
struct Parts {
  std::vector<float> decoded;         // w
  std::vector<double> grid, book, h;  // |s (m - z)| + |o|, |s| max |m|, |h|
  std::vector<double> t;              // of each column
};

Parts PartsOf(const OwnedMatrix& owned) {
  const EncodedMatrix& m = owned.matrix;
  const Linear& l = m.linear;
  Parts p;
  const uint64_t count = l.rows * l.cols;
  p.decoded.resize(count), p.grid.resize(count), p.book.resize(count), p.h.resize(count);
  reference::DecodeElements(m, 0, count, p.decoded.data());
  double most = (1 << l.bits) - 1;
  if (l.codebook) {
    most = 0;
    for (size_t i = 0; i < m.codebook.size(); i += 4)
      most = std::max(most, std::abs(static_cast<double>(Load<float>(m.codebook.data() + i))));
  }
  for (uint64_t c = 0; c < l.cols; ++c) {
    p.t.push_back(l.t.form == OperandForm::kAbsent     ? 1.0
                  : l.t.form == OperandForm::kConstant ? l.t.constant
                                                       : reference::LoadFloat(m.t, l.t.type, c));
  }
  std::vector<uint8_t> codes(count);
  reference::UnpackCodes(m, 0, count, codes.data());
  for (uint64_t r = 0; r < l.rows; ++r) {
    std::vector<float> h(l.cols, 0.0f);
    if (l.outliers != OutlierForm::kNone) reference::AddOutliers(m, r, 0, l.cols, h.data());
    for (uint64_t j = 0; j < l.cols; ++j) {
      const uint64_t group = r / l.group_rows * l.groups_across() + j / l.group_cols;
      const uint64_t c = l.permutation ? Load<uint32_t>(m.permutation.data() + 4 * j) : j;
      const uint8_t q = codes[r * l.cols + j];
      const double value = l.codebook ? Load<float>(m.codebook.data() + 4 * q) : q;
      const double s = reference::GroupOperand(m, 0, group), z = reference::GroupOperand(m, 1, group),
                   o = reference::GroupOperand(m, 2, group);
      p.grid[r * l.cols + c] = std::abs(s * (value - z)) + std::abs(o);
      p.book[r * l.cols + c] = l.codebook ? std::abs(s) * most : 0;
    }
    for (uint64_t c = 0; c < l.cols; ++c) p.h[r * l.cols + c] = std::abs(h[c]);
  }
  return p;
}

double UnitOf(DType type) { return type == DType::kF16 ? 0x1p-11 : type == DType::kBF16 ? 0x1p-8 : 0; }

void Check(const OwnedMatrix& m, const Parts& parts, const MatrixSlice& s, uint64_t x_rows, Precision precision,
           Dice& dice) {
  const Linear& l = m.matrix.linear;
  const uint64_t x_stride = s.columns + 3, y_stride = s.rows + 1;
  std::vector<float> x(x_rows * x_stride);
  for (float& v : x) v = (static_cast<float>(dice.Below(2001)) - 1000.0f) / 500.0f;
  if (dice.Below(2) == 0) {  // a few large columns
    for (uint64_t c = 0; c < s.columns; c += 1 + dice.Below(40)) x[dice.Below(x_rows) * x_stride + c] *= 30;
  }
  std::vector<float> y(x_rows * y_stride, 7.0f);
  Product p;
  p.x = x.data(), p.x_rows = x_rows, p.x_stride = x_stride, p.y = y.data(), p.y_stride = y_stride;
  p.precision = precision, p.add = dice.Below(2) == 0;
  Multiply(m.matrix, s, p);
  const double skipped = 4 * UnitOf(l.arithmetic) + UnitOf(l.result);
  size_t wrong = 0;
  double worst = 0;
  for (uint64_t n = 0; n < x_rows; ++n) {
    double a = 0;
    for (uint64_t c = 0; c < s.columns; ++c) {
      bool large = false;
      for (uint64_t i = 0; i < x_rows; ++i) large |= std::abs(x[i * x_stride + c]) > 6.0f;
      if (precision == Precision::kLlmInt8 && large) continue;
      a = std::max(a, std::abs(x[n * x_stride + c] * parts.t[s.column + c]));
    }
    for (uint64_t r = 0; r < s.rows; ++r) {
      double exact = p.add ? 7.0 : 0.0, big_m = std::abs(exact), big_n = 0, book = 0;
      for (uint64_t c = 0; c < s.columns; ++c) {
        const uint64_t at = (s.row + r) * l.cols + s.column + c;
        const double value = x[n * x_stride + c];
        exact += parts.decoded[at] * value;
        big_m += parts.grid[at] * std::abs(value * parts.t[s.column + c]) + parts.h[at] * std::abs(value);
        big_n += parts.grid[at], book += parts.book[at];
      }
      double bound = (static_cast<double>(s.columns) / 4 + 16) * 0x1p-24 * big_m + skipped * big_m;
      if (precision == Precision::kInt16) bound += 0x1p-14 * a * big_n;
      if (precision == Precision::kInt8 || precision == Precision::kLlmInt8)
        bound += std::exp2(-7.9) * a * (big_n + book);
      const double error = std::abs(y[n * y_stride + r] - exact);
      worst = std::max(worst, bound == 0 ? error : error / bound);
      wrong += !(error <= bound);
    }
    REQUIRE(y[n * y_stride + s.rows] == 7.0f);  // nothing beyond
  }
  CAPTURE(worst);
  CAPTURE(x_rows);
  CAPTURE(static_cast<int>(precision));
  CAPTURE(s.row);
  CAPTURE(s.rows);
  CAPTURE(s.column);
  CAPTURE(s.columns);
  REQUIRE(wrong == 0);
}

void CheckMatrix(const Numbers& numbers, Dice& dice) {
  const OwnedMatrix m(numbers);
  const Parts parts = PartsOf(m);
  for (size_t i = 0; i < parts.grid.size(); ++i) {
    if (!(parts.grid[i] < 0x1p100 && parts.book[i] < 0x1p100)) return;  // sums, or the bound itself, would overflow
  }
  for (float w : parts.decoded) {
    if (!(std::abs(w) < 0x1p100f)) return;
  }
  const Linear& l = numbers.linear;
  CAPTURE(Describe(l, {}));
  CAPTURE(l.rows);
  CAPTURE(l.cols);
  for (const std::string& target : AvailableTargets()) {
    REQUIRE(SetTarget(target));
    CAPTURE(target);
    for (const uint64_t x_rows : {1, 5, 9, 37}) {
      for (const Precision precision : {Precision::kF32, Precision::kInt16, Precision::kInt8, Precision::kLlmInt8}) {
        MatrixSlice s{0, l.rows, 0, l.cols};
        Check(m, parts, s, x_rows, precision, dice);
        s.row = dice.Below(l.rows), s.rows = 1 + dice.Below(l.rows - s.row);
        s.column = dice.Below(2) == 0 ? dice.Below(l.cols) : dice.Below(l.cols) / 64 * 64;
        s.columns = 1 + dice.Below(l.cols - s.column);
        Check(m, parts, s, x_rows, precision, dice);
      }
    }
  }
  REQUIRE(SetTarget(""));
}

TEST_CASE("products of encodings at random") {
  Dice dice(21);
  for (int i = 0; i < 150; ++i) {
    CheckMatrix(dice.Fill(dice.AnyLinear(1 + dice.Below(20), 1 + dice.Below(300), false)), dice);
  }
}

TEST_CASE("products of every width and group size around a block") {
  Dice dice(22);
  for (int bits = 1; bits <= 8; ++bits) {
    for (const uint64_t group : {8, 16, 32, 64, 128, 256, 512, 1100}) {
      for (const uint64_t cols : {512, 1100}) {
        for (const bool symmetric : {false, true}) {
          Linear l;
          l.bits = bits, l.rows = 19, l.cols = cols, l.group_rows = 1, l.group_cols = std::min(group, cols);
          l.s = Operand::Array(DType::kF16);
          if (bits % 2 == 0) l.z = Operand::Nested();
          if (symmetric) l.z = Operand::Constant(static_cast<float>(1 << (bits - 1)));
          if (dice.Half()) l.o = Operand::Array(DType::kF32);
          CheckMatrix(dice.Fill(l), dice);
        }
      }
    }
  }
}

// Which way products go: a slower one would give the same values.
TEST_CASE("few rows of activations take the packed path on targets with vectors of 32 bytes or more") {
  Dice dice(27);
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const uint64_t group : {32, 64, 128}) {
      Linear l;
      l.bits = bits, l.rows = 5, l.cols = 512, l.group_rows = 1, l.group_cols = group;
      l.s = Operand::Array(DType::kF16);
      if (group != 64) l.z = Operand::Nested();
      const OwnedMatrix m(dice.Fill(l));
      const auto w = IntegerWeights::Make(m.matrix, {0, l.rows, 0, l.cols}, Precision::kInt8);
      REQUIRE(w.has_value());
      const std::vector<float> x(l.cols, 1.0f);
      std::vector<float> y(l.rows);
      const Product product{x.data(), 1, l.cols, y.data(), l.rows, Precision::kInt8};
      for (const std::string& target : AvailableTargets()) {
        REQUIRE(SetTarget(target));
        CAPTURE(target);
        const bool wide = target.starts_with("AVX");
        CHECK(MultiplyFewIntegers(*w, product) == wide);
        CHECK(MultiplyFewF32(*w, product) == wide);
      }
    }
  }
  REQUIRE(SetTarget(""));
}

TEST_CASE("products with codebooks of up to 16 entries") {
  Dice dice(23);
  for (int bits = 2; bits <= 4; ++bits) {
    for (const uint64_t group : {16, 64, 320}) {
      Linear l;
      l.bits = bits, l.rows = 21, l.cols = 320, l.group_rows = 1, l.group_cols = group, l.codebook = true;
      l.s = Operand::Array(DType::kF32);
      if (group == 64) l.o = Operand::Array(DType::kF16);
      if (group == 16) l.z = Operand::Constant(3.5f);
      CheckMatrix(dice.Fill(l), dice);
    }
  }
}

TEST_CASE("a group whose integer sum would need more than 32 bits") {
  Dice dice(26);
  Linear l;
  l.bits = 8, l.rows = 2, l.cols = 70000, l.group_rows = 1, l.group_cols = l.cols;
  Numbers numbers = dice.Fill(l);
  std::fill(numbers.codes.begin(), numbers.codes.end(), uint8_t{255});
  const OwnedMatrix m(numbers);
  for (const uint64_t x_rows : {1, 9}) {
    std::vector<float> x(x_rows * l.cols, 1.0f), y(x_rows * l.rows);
    Multiply(m.matrix, {0, l.rows, 0, l.cols}, {x.data(), x_rows, l.cols, y.data(), l.rows, Precision::kInt8});
    for (float value : y) CHECK(std::abs(value - 255.0 * 70000) < 255.0 * 70000 * 0.01);
  }
}

TEST_CASE("activations that no integer can stand for are multiplied in f32") {
  Dice dice(24);
  Linear l;
  l.bits = 4, l.rows = 3, l.cols = 128, l.group_rows = 1, l.group_cols = 128;
  l.s = Operand::Constant(0.5f);
  const Numbers numbers = dice.Fill(l);
  const OwnedMatrix m(numbers);
  for (const float value : {INFINITY, NAN, 1e-45f}) {
    std::vector<float> x(128, 0.0f), y(3);
    x[5] = value;
    Product p{x.data(), 1, 128, y.data(), 3, Precision::kInt8, 6.0f, false};
    Multiply(m.matrix, {0, 3, 0, 128}, p);
    for (uint64_t r = 0; r < 3; ++r) {
      float w = 0;
      reference::DecodeElements(m.matrix, r * 128 + 5, 1, &w);
      CHECK(SameFloat(y[r], w == 0 && std::isinf(value) ? NAN : w * value));
    }
  }
}

TEST_CASE("raw matrices and decoded rows") {
  Dice dice(25);
  std::vector<float> w(13 * 170), x(20 * 170);
  for (float& v : w) v = static_cast<float>(dice.Below(100)) - 50;
  for (float& v : x) v = static_cast<float>(dice.Below(100)) - 50;
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    std::vector<std::byte> raw(w.size() * InfoOf(type).size + 1);
    NarrowFromF32(type, w.data(), w.size(), raw.data() + 1);
    for (const std::string& target : AvailableTargets()) {
      REQUIRE(SetTarget(target));
      for (const uint64_t x_rows : {1, 3, 4, 8, 20}) {
        const MatrixSlice s{2, 10, 5, 161};
        std::vector<float> y(x_rows * 10, 1.0f);
        const bool add = x_rows == 3;
        Product p{x.data(), x_rows, 170, y.data(), 10, Precision::kInt8, 6.0f, add};
        MultiplyRaw(raw.data() + 1, type, 170, s, p);
        for (uint64_t n = 0; n < x_rows; ++n) {
          for (uint64_t r = 0; r < 10; ++r) {
            float sum = add ? 1.0f : 0.0f;  // exact: small integers
            for (uint64_t c = 0; c < 161; ++c) sum += w[(2 + r) * 170 + 5 + c] * x[n * 170 + c];
            REQUIRE(y[n * 10 + r] == sum);
          }
        }
      }
    }
  }
  REQUIRE(SetTarget(""));
}

}  // namespace
}  // namespace ingot::test

// Products, and how far they may be from the exact ones: the bound of kernels/cuda/product_plan.h.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/product_plan.h"
#include "kernels/widen.h"
#include "tests/kernels/cuda/device_matrix.h"
#include "tests/support/formula.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {

// A matrix on the device, with what bounds are made of.
struct ProductMatrix {
  explicit ProductMatrix(const Numbers& numbers) : n(numbers), owned(numbers), device(owned.matrix) {
    const Linear& l = n.linear;
    const uint64_t count = l.rows * l.cols;
    decoded.resize(count), outliers.assign(count, 0.0f), grid.resize(count), book.resize(count);
    reference::DecodeElements(owned.matrix, 0, count, decoded.data());
    double most = 0;
    for (float m : n.codebook) most = std::max(most, std::abs(static_cast<double>(m)));
    for (uint64_t c = 0; c < l.cols; ++c) {
      t.push_back(l.t.form == OperandForm::kArray ? n.t[c] : l.t.form == OperandForm::kConstant ? l.t.constant : 1.0f);
    }
    for (uint64_t r = 0; r < l.rows; ++r) {
      if (l.outliers != OutlierForm::kNone)
        reference::AddOutliers(owned.matrix, r, 0, l.cols, outliers.data() + r * l.cols);
      for (uint64_t j = 0; j < l.cols; ++j) {
        const uint64_t group = r / l.group_rows * l.groups_across() + j / l.group_cols;
        const uint8_t q = n.codes[r * l.cols + j];
        const double s = reference::GroupOperand(owned.matrix, 0, group);
        const double z = reference::GroupOperand(owned.matrix, 1, group);
        const double o = reference::GroupOperand(owned.matrix, 2, group);
        const uint64_t at = r * l.cols + (l.permutation ? n.permutation[j] : j);
        grid[at] = std::abs(s) * (std::abs(l.codebook ? n.codebook[q] : q) + std::abs(z)) + std::abs(o);
        book[at] = l.codebook ? std::abs(s) * most : 0;
      }
    }
  }
  bool Bounded() const {
    for (size_t i = 0; i < grid.size(); ++i) {
      if (!(grid[i] < 0x1p60 && book[i] < 0x1p60 && std::abs(decoded[i]) < 0x1p60f)) return false;
    }
    return true;
  }

  Numbers n;
  OwnedMatrix owned;
  DeviceMatrix device;
  std::vector<float> decoded, outliers, t;
  std::vector<double> grid, book;
};

struct ProductCase {
  MatrixSlice slice;  // of no columns: the whole matrix
  DType type = DType::kF16;
  cuda::ProductPrecision precision = cuda::ProductPrecision::kNative;
  uint64_t x_rows = 1;
  bool add = false, large = false;
  unsigned seed = 0;
  cuda::DeviceLimits limits = LimitsForTests();
};

class ProductRun {
 public:
  ProductRun(ProductMatrix& m, const ProductCase& c, Dice& dice)
      : m_(m),
        c_(c),
        slice_(c.slice.columns > 0 ? c.slice : MatrixSlice{0, m.n.linear.rows, 0, m.n.linear.cols}),
        x_stride_(slice_.columns + 3),
        y_stride_(slice_.rows + 1),
        x_bytes_(c.x_rows * x_stride_ * InfoOf(c.type).size),
        y_(c.x_rows * y_stride_ * sizeof(float)) {
    std::fill_n(y_.as<float>(), c.x_rows * y_stride_, 7.0f);
    std::vector<float> x(c.x_rows * x_stride_);
    for (float& v : x) v = (static_cast<float>(dice.Below(2001)) - 1000.0f) / 500.0f;
    for (uint64_t i = 0; c.large && i < 5; ++i) x[dice.Below(x.size())] *= 30;
    NarrowFromF32(c.type, x.data(), x.size(), x_bytes_.data());
    x_.resize(x.size());
    WidenToF32(c.type, x_bytes_.data(), x.size(), x_.data());
    request_.slice = slice_;
    request_.x = x_bytes_.data(), request_.x_type = c.type, request_.x_rows = c.x_rows, request_.x_stride = x_stride_;
    request_.y = y_.as<float>(), request_.y_stride = y_stride_;
    request_.precision = c.precision, request_.add = c.add;
  }

  // The first error.
  std::string Run() {
    AlignedBytes scratch(cuda::ProductScratchBytes(m_.device.view, request_, c_.limits));
    std::fill_n(scratch.data(), scratch.size(), std::byte{0xFF});
    request_.scratch = scratch.data();
    simt::Memory memory = m_.device.memory;
    memory.LendReadOnly(x_bytes_.data(), x_bytes_.size(), "x");
    memory.Lend(y_.data(), y_.size(), "y");
    memory.Lend(scratch.data(), scratch.size(), "scratch");
    steps = cuda::PlanProduct(m_.device.view, request_, c_.limits);
    for (const cuda::ProductStep& step : steps) {
      const std::string error = run_step(memory, step, c_.seed);
      if (!error.empty()) return error;
    }
    return "";
  }

  // How far the worst element is from the exact sum, in bounds.
  double Worst() {
    const float* const y = y_.as<float>();
    const Linear& l = m_.n.linear;
    const bool integers = c_.precision != cuda::ProductPrecision::kNative;
    const bool f16 = c_.type == DType::kF16;
    const auto unit = [](DType type) { return type == DType::kF16 ? 0x1p-11 : type == DType::kBF16 ? 0x1p-8 : 0.0; };
    double of_m = (static_cast<double>(slice_.columns) + 64) * 0x1p-24 + 4 * unit(l.arithmetic) + unit(l.result);
    if (l.t.form == OperandForm::kArray) of_m += f16 ? 0x1p-20 : 0x1p-15;
    double worst = 0;
    for (uint64_t n = 0; n < c_.x_rows; ++n) {
      const double a = LargestOf(n);
      for (uint64_t r = 0; r < slice_.rows; ++r) {
        double exact = c_.add ? 7.0 : 0.0, big_m = std::abs(exact), big_n = 0, big_b = 0;
        for (uint64_t c = 0; c < slice_.columns; ++c) {
          const uint64_t column = slice_.column + c, at = (slice_.row + r) * l.cols + column;
          const double x = x_[n * x_stride_ + c], scaled = std::abs(x * m_.t[column]);
          exact += m_.decoded[at] * x;
          big_m += m_.grid[at] * scaled + std::abs(m_.outliers[at] * x);
          big_n += m_.grid[at] * std::abs(m_.t[column]), big_b += m_.book[at] * scaled;
        }
        double bound = of_m * big_m + (f16 ? 0x1p-10 : 0x1p-7) * big_b + 0x1p-24 * big_n;
        if (integers) bound += std::exp2(-7.9) * a * big_n;
        const double error = std::abs(y[n * y_stride_ + r] - exact);
        worst = std::max(worst, std::isnan(error) ? HUGE_VAL : bound == 0 ? error * HUGE_VAL : error / bound);
      }
      if (y[n * y_stride_ + slice_.rows] != 7.0f) return HUGE_VAL;
    }
    return worst;
  }

  std::function<std::string(simt::Memory&, const cuda::ProductStep&, unsigned seed)> run_step =
      [](simt::Memory& memory, const cuda::ProductStep& step, unsigned seed) { return RunStep(memory, step, seed); };
  std::vector<cuda::ProductStep> steps;

 private:
  // Of a row of x', but for columns that LLM.int8 leaves out; divided by |t|, which the bound's N has here.
  double LargestOf(uint64_t n) const {
    const bool leaves_out = c_.precision == cuda::ProductPrecision::kLlmInt8;
    double most = 0, least_t = HUGE_VAL;
    for (uint64_t c = 0; c < slice_.columns; ++c) {
      const double t = std::abs(static_cast<double>(m_.t[slice_.column + c]));
      bool large = false;
      for (uint64_t i = 0; i < c_.x_rows; ++i) large |= std::abs(x_[i * x_stride_ + c]) > 6.0f;
      if (!(leaves_out && large)) most = std::max(most, std::abs(static_cast<double>(x_[n * x_stride_ + c])) * t);
      least_t = std::min(least_t, t);
    }
    return m_.n.linear.t.form == OperandForm::kAbsent ? most : most / least_t;
  }

  ProductMatrix& m_;
  ProductCase c_;
  MatrixSlice slice_;
  uint64_t x_stride_, y_stride_;
  AlignedBytes x_bytes_, y_;
  std::vector<float> x_;
  cuda::ProductRequest request_;
};

}  // namespace ingot::test

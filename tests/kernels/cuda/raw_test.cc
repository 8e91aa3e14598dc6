// Raw matrices on a GPU, or under the executor: decoded with the bits that the CPU gives them, multiplied within the
// bound of kernels/cuda/product_plan.h.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "format/bytes.h"
#include "kernels/cuda/decode_plan.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/widen.h"
#include "tests/kernels/cuda/device_matrix.h"
#include "tests/support/formula.h"

namespace ingot::test {
namespace {

const bool kQuick = std::getenv("INGOT_QUICK") != nullptr;

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kF8E4M3, DType::kF8E5M2};

// As runtime/tensor_slices.cc converts raw elements.
void Convert(DType from, const std::byte* in, uint64_t count, DType to, std::byte* out) {
  if (from == to) {
    std::memcpy(out, in, count * InfoOf(to).size);
  } else if (from == DType::kF64) {
    NarrowFromF64(to, in, count, out);
  } else {
    std::vector<float> wide(count);
    WidenToF32(from, in, count, wide.data());
    NarrowFromF32(to, wide.data(), count, out);
  }
}

struct RawMatrix {
  RawMatrix(DType type, uint64_t rows, uint64_t columns, uint64_t stride, const std::byte* from)
      : elements(rows * stride * InfoOf(type).size) {
    std::memcpy(elements.data(), from, elements.size());
    memory.LendReadOnly(elements.data(), elements.size(), "elements");
    view = *cuda::MakeRawView(type, rows, columns, stride, elements.data());
  }
  AlignedBytes elements;
  simt::Memory memory;
  cuda::MatrixView view;
};

void CheckSlice(const RawMatrix& m, DType from, const MatrixSlice& slice, DType to, Dice& dice) {
  const uint64_t size = InfoOf(to).size, stride = slice.columns + (dice.Half() ? 0 : dice.Below(20));
  const uint64_t offset = dice.Half() ? 0 : dice.Below(9);
  AlignedBytes found((offset + slice.rows * stride) * size);
  std::byte* const out = found.data() + offset * size;
  simt::Memory memory = m.memory;
  memory.Lend(out, ((slice.rows - 1) * stride + slice.columns) * size, "out");
  const auto steps = cuda::PlanDecode(m.view, slice, to, out, stride, 2);
  REQUIRE(steps.size() == 1);
  REQUIRE(RunStep(memory, steps[0], static_cast<unsigned>(dice.Below(4))) == "");
  std::vector<std::byte> row(slice.columns * size);
  std::vector<float> wanted(slice.columns), wide(slice.columns);
  for (uint64_t r = 0; r < slice.rows; ++r) {
    const uint64_t first = (slice.row + r) * m.view.raw_stride + slice.column;
    const auto* const in = static_cast<const std::byte*>(m.view.root.codes[0]) + first * InfoOf(from).size;
    Convert(from, in, slice.columns, to, row.data());
    if (from == to) REQUIRE(std::memcmp(row.data(), out + r * stride * size, row.size()) == 0);
    WidenToF32(to, row.data(), slice.columns, wanted.data());
    WidenToF32(to, out + r * stride * size, slice.columns, wide.data());
    REQUIRE(CountDifferences(wide, wanted) == 0);
  }
}

// Values around what f16 and bf16 can hold and around the middles between them; others by their bits.
double AnyDouble(Dice& dice) {
  const auto bits = static_cast<uint16_t>(dice.Below(65536));
  const double half = dice.Half() ? F16ToF32(bits) : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  const double next = half * (1 + (dice.Half() ? 0x1p-11 : 0x1p-8));
  switch (dice.Below(5)) {
    case 0:
      return half;
    case 1:
      return next;
    case 2:
      return std::nextafter(next, dice.Half() ? HUGE_VAL : -HUGE_VAL);
    case 3:
      return std::ldexp(next, static_cast<int>(dice.Below(400)) - 200);
    default:
      return std::bit_cast<double>(static_cast<uint64_t>(dice.Below(uint64_t{1} << 32)) << 32 |
                                   dice.Below(uint64_t{1} << 32));
  }
}

std::vector<std::byte> AnyElements(DType type, uint64_t count, Dice& dice) {
  const uint64_t size = InfoOf(type).size;
  std::vector<std::byte> bytes(count * size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(dice.Below(256));
  for (uint64_t i = 0; type == DType::kF64 && i < count; ++i) Store<double>(bytes.data() + 8 * i, AnyDouble(dice));
  return bytes;
}

TEST_CASE("raw elements of every type, slices that begin and end anywhere") {
  Dice dice(61);
  for (DType from : kTypes) {
    CAPTURE(InfoOf(from).name);
    for (int i = 0; i < (kQuick ? 10 : 60); ++i) {
      const uint64_t rows = 1 + dice.Below(5), columns = 1 + dice.Below(i % 5 == 0 ? 3000 : 70);
      const uint64_t stride = columns + (dice.Half() ? 0 : dice.Below(9));
      const RawMatrix m(from, rows, columns, stride, AnyElements(from, rows * stride, dice).data());
      for (DType to : {DType::kF32, DType::kF16, DType::kBF16}) {
        CAPTURE(InfoOf(to).name);
        CheckSlice(m, from, {0, rows, 0, columns}, to, dice);
        const uint64_t row = dice.Below(rows), column = dice.Below(columns);
        CheckSlice(m, from, {row, 1 + dice.Below(rows - row), column, 1 + dice.Below(columns - column)}, to, dice);
      }
    }
  }
}

TEST_CASE("every f16, bf16 and f8") {
  Dice dice(62);
  std::vector<std::byte> all(131072);
  for (uint32_t i = 0; i < 65536; ++i) Store<uint16_t>(all.data() + 2 * i, static_cast<uint16_t>(i));
  for (DType from : {DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2}) {
    const uint64_t columns = InfoOf(from).size == 1 ? 131072 : 65536;
    const RawMatrix m(from, 1, columns, columns, all.data());
    for (DType to : {DType::kF32, DType::kF16, DType::kBF16}) CheckSlice(m, from, {0, 1, 0, columns}, to, dice);
  }
}

TEST_CASE("what has no values on a device is refused") {
  CHECK(cuda::MakeRawView(DType::kI32, 2, 3, 3, nullptr).error().code == ErrorCode::kUnsupported);
  CHECK(!cuda::MakeRawView(DType::kF16, 2, 3, 0, nullptr).has_value());
  CHECK(!cuda::MakeRawView(DType::kF16, 0, 3, 3, nullptr).has_value());
  CHECK(!cuda::MakeRawView(DType::kF16, ~uint64_t{0}, 3, 3, nullptr).has_value());
}

// ---- products

struct RawProduct {
  DType type = DType::kF16, x_type = DType::kF16;
  uint64_t rows = 1, columns = 1, stride = 1, x_rows = 1;
  MatrixSlice slice;
  bool add = false;
};

// How far the worst element is from the exact sum, in bounds. `tiles`: whether tensor cores had to do it.
double Multiply(const RawProduct& c, Dice& dice, bool tiles) {
  std::vector<float> weights(c.rows * c.stride), x(c.x_rows * c.slice.columns);
  for (float& w : weights) w = (static_cast<float>(dice.Below(2001)) - 1000.0f) / 700.0f;
  for (float& v : x) v = (static_cast<float>(dice.Below(2001)) - 1000.0f) / 500.0f;
  std::vector<std::byte> bytes(weights.size() * InfoOf(c.type).size);
  AlignedBytes x_bytes(x.size() * 2), y_bytes(c.x_rows * c.slice.rows * sizeof(float));
  NarrowFromF32(c.type, weights.data(), weights.size(), bytes.data());
  WidenToF32(c.type, bytes.data(), weights.size(), weights.data());
  NarrowFromF32(c.x_type, x.data(), x.size(), x_bytes.data());
  WidenToF32(c.x_type, x_bytes.data(), x.size(), x.data());
  const RawMatrix m(c.type, c.rows, c.columns, c.stride, bytes.data());

  float* const y = y_bytes.as<float>();
  std::fill_n(y, c.x_rows * c.slice.rows, 7.0f);
  cuda::ProductRequest request;
  request.slice = c.slice, request.x_type = c.x_type, request.x_rows = c.x_rows, request.x_stride = c.slice.columns;
  request.x = x_bytes.data(), request.y = y, request.y_stride = c.slice.rows, request.add = c.add;
  request.precision = dice.Half() ? cuda::ProductPrecision::kNative : cuda::ProductPrecision::kLlmInt8;
  cuda::DeviceLimits limits = LimitsForTests();
  limits.multiprocessors = 2;
  AlignedBytes scratch(cuda::ProductScratchBytes(m.view, request, limits));
  request.scratch = scratch.data();
  simt::Memory memory = m.memory;
  memory.LendReadOnly(x_bytes.data(), x_bytes.size(), "x");
  memory.Lend(y_bytes.data(), y_bytes.size(), "y");
  memory.Lend(scratch.data(), scratch.size(), "scratch");
  bool tiled = false;
  for (const cuda::ProductStep& step : cuda::PlanProduct(m.view, request, limits)) {
    tiled |= step.kernel == cuda::ProductKernel::kTiles;
    REQUIRE(RunStep(memory, step, static_cast<unsigned>(dice.Below(4))) == "");
  }
  REQUIRE(tiled == (tiles && (c.x_type == DType::kF16 || limits.architecture >= 80)));
  double worst = 0;
  for (uint64_t n = 0; n < c.x_rows; ++n) {
    for (uint64_t r = 0; r < c.slice.rows; ++r) {
      double exact = c.add ? 7.0 : 0.0, big_m = exact;
      for (uint64_t i = 0; i < c.slice.columns; ++i) {
        const double product = static_cast<double>(x[n * c.slice.columns + i]) *
                               weights[(c.slice.row + r) * c.stride + c.slice.column + i];
        exact += product, big_m += std::abs(product);
      }
      const double bound = (static_cast<double>(c.slice.columns) + 64) * 0x1p-24 * big_m;
      worst = std::max(worst, std::abs(y[n * c.slice.rows + r] - exact) / bound);
    }
  }
  return worst;
}

TEST_CASE("products of raw matrices: tensor cores where both have one type of 16 bits") {
  Dice dice(63);
  for (int i = 0; i < (kQuick ? 40 : 300); ++i) {
    RawProduct c;
    c.type = std::vector<DType>{DType::kF16, DType::kBF16, DType::kF32}[dice.Below(3)];
    c.x_type = dice.Half() ? DType::kF16 : DType::kBF16;
    c.rows = 1 + dice.Below(150), c.columns = dice.Half() ? 8 * (1 + dice.Below(100)) : 1 + dice.Below(600);
    c.stride = c.columns + (dice.Half() ? 0 : 8), c.x_rows = dice.Half() ? 1 + dice.Below(40) : 1;
    c.slice = {0, c.rows, 0, c.columns}, c.add = dice.Half();
    if (dice.Half()) {
      c.slice.row = dice.Below(c.rows), c.slice.rows = 1 + dice.Below(c.rows - c.slice.row);
      c.slice.column = dice.Below(c.columns) / 64 * 64, c.slice.columns = c.columns - c.slice.column;
    }
    const bool tiles = c.type == c.x_type && c.columns % 8 == 0;
    CHECK(Multiply(c, dice, tiles) <= 1);
  }
}

}  // namespace
}  // namespace ingot::test

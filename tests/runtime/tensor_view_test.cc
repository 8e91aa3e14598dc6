// Slices of tensors of every shape, joined from parts of every kind, against the values of the formula.
#include "runtime/tensor_view.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/loaded_model.h"
#include "tests/support/random_tensors.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tensor_file.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

float LoadAs(DType type, const Bytes& bytes, uint64_t i) {
  if (type == DType::kF32) return Load<float>(bytes.data() + 4 * i);
  const auto bits = Load<uint16_t>(bytes.data() + 2 * i);
  return type == DType::kF16 ? F16ToF32(bits) : BF16ToF32(bits);
}

void CheckDecode(const TensorView& view, const Expected& e, const MatrixSlice& s, DType type, uint64_t stride) {
  const uint64_t size = InfoOf(type).size;
  Bytes out(s.rows * stride * size, std::byte{0xA5});
  const auto decoded = view.Decode(s, type, out.data(), stride);
  REQUIRE_MESSAGE(decoded, (decoded ? "" : decoded.error().message));
  for (uint64_t r = 0; r < s.rows; ++r) {
    for (uint64_t c = 0; c < stride; ++c) {
      if (c >= s.columns) {
        REQUIRE(out[(r * stride + c) * size] == std::byte{0xA5});
        continue;
      }
      const float wanted = RoundTo(type, e.values[(s.row + r) * view.whole().columns + s.column + c]);
      REQUIRE(SameFloat(LoadAs(type, out, r * stride + c), wanted));
    }
  }
}

// Only finite values have a product worth comparing; the bound is generous, the exact ones are the kernels' to test.
void CheckMultiply(const TensorView& view, const Expected& e, const MatrixSlice& s, Dice& dice) {
  const uint64_t x_rows = 1 + dice.Below(3), x_stride = s.columns + dice.Below(3), y_stride = s.rows + dice.Below(3);
  std::vector<float> x(x_rows * x_stride), y(x_rows * y_stride, 0.5f);
  for (float& v : x) v = static_cast<float>(dice.Below(200)) / 64.0f - 1.5f;
  Product p;
  p.x = x.data(), p.x_rows = x_rows, p.x_stride = x_stride;
  p.y = y.data(), p.y_stride = y_stride;
  p.add = dice.Half();
  REQUIRE(view.Multiply(s, p));
  for (uint64_t n = 0; n < x_rows; ++n) {
    for (uint64_t r = 0; r < s.rows; ++r) {
      double sum = p.add ? 0.5 : 0.0, magnitude = 1e-30;
      for (uint64_t c = 0; c < s.columns; ++c) {
        const double w = e.values[(s.row + r) * view.whole().columns + s.column + c];
        sum += w * x[n * x_stride + c];
        magnitude += std::fabs(w * x[n * x_stride + c]);
      }
      if (!std::isfinite(sum) || magnitude > 1e30) continue;
      // Rounding w to the result type may be left out, and what cancels within the formula is not seen here.
      REQUIRE(std::fabs(y[n * y_stride + r] - sum) <= 0.05 * magnitude + 1e-3);
    }
    for (uint64_t r = s.rows; r < y_stride; ++r) REQUIRE(y[n * y_stride + r] == 0.5f);
  }
}

TEST_CASE("slices of tensors at random have the values of the formula, in every mode") {
  const TempDirectory folder;
  Dice dice(11, false);
  const LoadOptions modes[] = {{},
                               {.map = false, .verify = VerifyMode::kLazy, .threads = 1, .cache_bytes = 1},
                               {.map = true, .verify = VerifyMode::kOff, .threads = 3, .cache_bytes = 0},
                               {.map = false, .verify = VerifyMode::kOpen, .threads = 2, .cache_bytes = 0}};
  for (int round = 0; round < 40; ++round) {
    TensorFile file;
    std::vector<Expected> all;
    for (int i = 0; i < 8; ++i) {
      file.Compress(dice.Below(3) == 0);
      all.push_back(AddTensor(file, dice, "t" + std::to_string(i)));
    }
    const std::string path = folder.Write("x.ingot", file.Finish());
    const auto model = LoadedModel::Open(path, modes[round % 4]);
    REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
    for (const Expected& e : all) {
      const auto opened = (*model)->OpenTensor((*model)->model().Find(e.name).value());
      REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().message));
      const TensorView& view = **opened;
      REQUIRE(view.whole().columns == e.shape.back());
      REQUIRE(view.whole().rows * view.whole().columns == e.values.size());
      CHECK(view.slice_rows() >= 1);
      CHECK(view.slice_rows() <= view.whole().rows);
      CHECK(view.slice_columns() <= view.whole().columns);
      for (int i = 0; i < 6; ++i) {
        const MatrixSlice s = AnySlice(dice, view.whole());
        CheckDecode(view, e, s, dice.Type(), s.columns + dice.Below(2) * dice.Below(9));
        CheckMultiply(view, e, s, dice);
        view.Prefetch(s);
        REQUIRE(view.Verify(s));
      }
    }
  }
}

TEST_CASE("what cannot be decoded is refused by name and verified all the same") {
  const auto model = LoadedModel::Open(kVectors + "valid/unknown-kind.ingot", {});
  REQUIRE(model);
  size_t refused = 0;
  for (uint32_t i = 0; i < (*model)->model().tensor_count(); ++i) {
    const auto view = (*model)->OpenTensor(i);
    REQUIRE(view);
    CHECK((*view)->Verify((*view)->whole()));
    const auto can = (*view)->CanDecode();
    if (can) continue;
    ++refused;
    CHECK(can.error().code == ErrorCode::kUnsupported);
    CHECK(Contains(can.error().message, Escape((*view)->record().name)));
  }
  CHECK(refused > 2);
}

// The slice units of a tensor of one linear part.
std::pair<uint64_t, uint64_t> UnitsOf(const Linear& l, const std::vector<uint64_t>& shape) {
  const TempDirectory folder;
  TensorFile file;
  Dice dice(5, false);
  file.Add("t", DType::kF32, shape, file.AddLinear(dice.Fill(l)));
  const auto model = LoadedModel::Open(folder.Write("x.ingot", file.Finish()), {});
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  const auto view = (*model)->OpenTensor(0);
  REQUIRE_MESSAGE(view, (view ? "" : view.error().message));
  return {(*view)->slice_rows(), (*view)->slice_columns()};
}

TEST_CASE("slice units") {
  Linear l;
  l.bits = 4;
  l.rows = 16, l.cols = 768, l.group_rows = 1, l.group_cols = 128;
  l.s = Operand::Array(DType::kF16);
  using Units = std::pair<uint64_t, uint64_t>;
  CHECK(UnitsOf(l, {16, 768}) == Units(1, 128));
  CHECK(UnitsOf(l, {4, 4, 768}) == Units(1, 128));
  l.group_cols = 96;
  CHECK(UnitsOf(l, {16, 768}) == Units(1, 192));
  l.group_rows = 4;
  CHECK(UnitsOf(l, {16, 768}) == Units(4, 192));
  l.permutation = true;
  CHECK(UnitsOf(l, {16, 768}) == Units(4, 768));
  l.permutation = false;
  l.group_rows = 1, l.group_cols = 768;
  CHECK(UnitsOf(l, {16, 768}) == Units(1, 768));
  CHECK(UnitsOf(l, {64, 192}) == Units(4, 192));  // a row of the view is four rows of the tensor
  l.group_rows = 16, l.group_cols = 1;
  CHECK(UnitsOf(l, {64, 192}) == Units(64, 192));
  l.rows = 1, l.cols = 16 * 768, l.group_rows = 1, l.group_cols = 128;
  CHECK(UnitsOf(l, {16, 768}) == Units(1, 768));
  CHECK(UnitsOf(l, {128, 96}) == Units(4, 96));
}

}  // namespace
}  // namespace ingot::test

// What a conversion stores, element by element, against the reference quantizer of the tests.
#include "convert/pipeline.h"

#include <tbb/global_control.h>

#include <limits>

#include "convert/quantize/fit.h"
#include "tests/convert/convert_fixture.h"
#include "tests/convert/reference_quantizer.h"
#include "tests/support/formula.h"

namespace ingot::test {
namespace {

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kF8E4M3, DType::kF8E5M2};

// Tensors of all shapes that are quantized, and of those that never are.
std::vector<DenseTensor> Shapes() {
  std::vector<DenseTensor> out;
  unsigned seed = 1;
  for (DType type : kFloats) {
    const std::string name(InfoOf(type).name);
    out.push_back(RandomTensor("weight." + name, type, {7, 203}, seed++));
    out.push_back(RandomTensor("vector." + name, type, {33}, seed++));
  }
  out.push_back(RandomTensor("experts", DType::kBF16, {3, 5, 130}, seed++));
  out.push_back(RandomTensor("eight", DType::kF16, {1, 2, 1, 2, 1, 2, 1, 70}, seed++));
  out.push_back(RandomTensor("column", DType::kF32, {9, 1}, seed++));
  out.push_back(RandomTensor("row", DType::kF32, {1, 64}, seed++));
  out.push_back(RandomTensor("scalar", DType::kF32, {}, seed++));
  out.push_back(RandomTensor("none", DType::kF16, {0, 64}, seed++));
  out.push_back(RandomTensor("none inside", DType::kF16, {4, 0, 64}, seed++));
  out.push_back(RandomTensor("numbers", DType::kI32, {4, 64}, seed++));
  out.push_back(RandomTensor("truth", DType::kBool, {5, 65}, seed++));
  out.push_back(RandomTensor("complex", DType::kC64, {2, 3}, seed++));
  return out;
}

bool IsQuantized(const DenseTensor& t) {
  return InfoOf(t.dtype).is_float && t.shape.size() > 1 && CountOf(t.shape) > 0;
}

// The values that the definitions give. Where the grid has no zero, outliers are only nearly the source values.
std::vector<float> Expected(const Method& m, const DenseTensor& t, std::vector<bool>* outliers) {
  const reference::Tensor in{CountOf(t.shape) / t.cols(), t.cols(), t.Values()};
  const reference::Outcome got = reference::Quantize(m, in);
  REQUIRE_FALSE(got.scale_error);
  const bool tensor = m.group_size == Method::kPerTensor;
  const uint64_t group = m.group_size == Method::kPerChannel ? in.cols : std::min(m.group_size, in.cols);
  std::vector<float> out(in.values.size());
  for (uint64_t i = 0; i < out.size(); ++i) {
    const uint64_t g = tensor ? 0 : i / in.cols * ((in.cols + group - 1) / group) + i % in.cols / group;
    out[i] = reference::Decode(m, {got.scales[g], got.zeros[g]}, got.codes[i]);
    if (got.outlier[i]) out[i] = in.values[i];
  }
  *outliers = got.outlier;
  return out;
}

void CheckConversion(Workshop& shop, const std::vector<DenseTensor>& tensors, const Method& m) {
  CAPTURE(MethodToText(m));
  const auto model = shop.Make(tensors, By(m));
  REQUIRE(model->tensor_count() == tensors.size());
  uint64_t quantized = 0;
  for (const DenseTensor& t : tensors) {
    CAPTURE(t.name);
    const TensorRecord record = model->tensor(NumberOf(*model, t.name));
    CHECK(record.shape() == t.shape);
    CHECK(record.dtype == static_cast<uint8_t>(t.dtype));
    if (!IsQuantized(t)) {
      REQUIRE(RawBytes(*model, t.name) == t.bytes);
      continue;
    }
    ++quantized;
    const std::vector<Linear> linears = LinearsOf(*model, t.name);
    REQUIRE(linears.size() == 1);
    CHECK(linears[0].bits == m.bits);
    CHECK(linears[0].arithmetic == DType::kF32);
    CHECK(linears[0].result == DType::kF32);
    CHECK(linears[0].cols == t.cols());
    std::vector<bool> outliers;
    const std::vector<float> expected = Expected(m, t, &outliers), values = DecodeTensor(*model, t.name);
    uint64_t wrong = 0, inexact = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      (outliers[i] ? inexact : wrong) += expected[i] != values[i];
    }
    CHECK(wrong == 0);
    CHECK(inexact <= shop.result().inexact_outliers);
  }
  CHECK(shop.result().quantized == quantized);
  CHECK(shop.result().tensors == tensors.size());
  if (GridHasZero(m)) CHECK(shop.result().inexact_outliers == 0);
}

TEST_CASE("every width, grid, group and scale type: the values by the definitions, all else bit for bit") {
  Workshop shop;
  const auto tensors = Shapes();
  for (int bits = 1; bits <= 8; ++bits) {
    for (const auto zero : {ZeroPointKind::kSymmetric, ZeroPointKind::kInteger, ZeroPointKind::kFloat}) {
      const uint64_t groups[] = {64, 100, Method::kPerChannel, Method::kPerTensor};
      const DType scales[] = {DType::kF16, DType::kBF16, DType::kF32};
      const auto pick = static_cast<size_t>(bits) + static_cast<size_t>(zero);
      CheckConversion(shop, tensors, LinearMethod(bits, groups[pick % 4], zero, scales[pick % 3]));
      CheckConversion(shop, tensors, LinearMethod(bits, groups[(pick + 2) % 4], zero, scales[(pick + 1) % 3]));
    }
  }
  for (const auto kind : {MethodKind::kNf4, MethodKind::kFp4}) {
    for (const uint64_t group : {uint64_t{64}, Method::kPerChannel, Method::kPerTensor}) {
      Method m = LinearMethod(4, group, ZeroPointKind::kSymmetric, DType::kF32);
      m.kind = kind;
      CheckConversion(shop, tensors, m);
    }
  }
  Method keep;
  const auto model = shop.Make(tensors, By(keep));
  for (const DenseTensor& t : tensors) CHECK(RawBytes(*model, t.name) == t.bytes);
  CHECK(shop.result().quantized == 0);
}

TEST_CASE("outliers of both kinds: exactly the largest, their source values exactly") {
  Workshop shop;
  const auto tensors = Shapes();
  for (const auto kind : {OutlierKind::kUnstructured, OutlierKind::kColumns}) {
    for (const double ratio : {0.005, 0.02, 0.3}) {
      for (const uint64_t group : {uint64_t{64}, Method::kPerTensor}) {
        for (const auto zero : {ZeroPointKind::kSymmetric, ZeroPointKind::kInteger, ZeroPointKind::kFloat}) {
          Method m = LinearMethod(3, group, zero);
          m.outlier_kind = kind, m.outlier_ratio = ratio;
          CheckConversion(shop, tensors, m);
        }
      }
    }
  }
}

TEST_CASE("outliers are stored where they belong, and no others") {
  Workshop shop;
  const DenseTensor t = RandomTensor("w", DType::kF16, {40, 300}, 3);
  Method m = LinearMethod(4, 128, ZeroPointKind::kSymmetric);
  m.outlier_ratio = 0.01;
  const auto model = shop.Make({t}, By(m));
  const Linear l = LinearsOf(*model, "w")[0];
  CHECK(l.outliers == OutlierForm::kUnstructured);
  CHECK(l.outlier_type == DType::kF16);
  CHECK(l.outlier_count == 120);
  std::vector<bool> expected;
  Expected(m, t, &expected);
  const auto reader = Workshop::Must(TensorReader::Open(*model, 0));
  const EncodedMatrix& matrix = reader.parts()[0].matrix;
  const std::vector<float> values = t.Values();
  size_t found = 0;
  for (uint64_t r = 0; r < 40; ++r) {
    for (uint64_t i = Load<uint64_t>(matrix.outlier_rows.data() + 8 * r);
         i < Load<uint64_t>(matrix.outlier_rows.data() + 8 * r + 8); ++i) {
      const uint64_t at = r * 300 + Load<uint16_t>(matrix.outlier_columns.data() + 2 * i);
      CHECK(expected[at]);
      CHECK(F16ToF32(Load<uint16_t>(matrix.outlier_values.data() + 2 * i)) == values[at]);
      ++found;
    }
  }
  CHECK(found == 120);
}

TEST_CASE("clipped ranges, too, are those of the definitions") {
  Workshop shop;
  const std::vector<DenseTensor> tensors = {RandomTensor("w", DType::kBF16, {6, 150}, 4)};
  for (int bits : {2, 3, 4, 8}) {
    for (const uint64_t group : {uint64_t{32}, Method::kPerTensor}) {
      for (const double ratio : {0.0, 0.02}) {
        Method m = LinearMethod(bits, group, ZeroPointKind::kInteger);
        m.mse_clip = true, m.outlier_ratio = ratio;
        CheckConversion(shop, tensors, m);
      }
    }
  }
}

TEST_CASE("the same bytes for any number of threads") {
  Workshop shop;
  const std::vector<DenseTensor> tensors = {
      RandomTensor("a", DType::kF32, {700, 1000}, 5), RandomTensor("b", DType::kF16, {900, 1111}, 6),
      RandomTensor("c", DType::kI8, {3000001}, 7), RandomTensor("d", DType::kF16, {1, 999999}, 8)};
  for (const bool fancy : {false, true}) {
    Method m = LinearMethod(fancy ? 3 : 4, 128, ZeroPointKind::kInteger);
    if (fancy) m.outlier_ratio = 0.01;
    ConvertOptions options = By(m);
    options.compress = options.sha256 = fancy;
    Bytes first;
    for (const size_t threads : {1, 2, 5}) {
      const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
      shop.Make(tensors, options);
      const Bytes bytes = ReadBytes(shop.out() / "x.ingot");
      if (first.empty()) first = bytes;
      CHECK(bytes == first);
    }
  }
}

TEST_CASE("split columns: the same values, in parts that cover the columns") {
  Workshop shop;
  const std::vector<DenseTensor> tensors = {RandomTensor("w", DType::kF16, {9, 64 * 11 + 5}, 9),
                                            RandomTensor("e", DType::kBF16, {2, 3, 200}, 10)};
  for (const uint64_t group : {uint64_t{64}, uint64_t{32}, uint64_t{100}, Method::kPerChannel, Method::kPerTensor}) {
    for (const auto zero : {ZeroPointKind::kSymmetric, ZeroPointKind::kInteger, ZeroPointKind::kFloat}) {
      for (const auto kind : {OutlierKind::kUnstructured, OutlierKind::kColumns}) {
        Method m = LinearMethod(4, group, zero);
        m.outlier_kind = kind;
        m.outlier_ratio = kind == OutlierKind::kColumns ? 0.02 : zero == ZeroPointKind::kInteger ? 0.01 : 0;
        CAPTURE(MethodToText(m));
        const auto whole = shop.Make(tensors, By(m), "whole.ingot");
        for (const uint32_t parts : {2u, 3u, 7u}) {
          ConvertOptions options = By(m);
          options.split_columns = parts;
          const auto split = shop.Make(tensors, options);
          for (const DenseTensor& t : tensors) {
            CHECK(CountDifferences(DecodeTensor(*split, t.name), DecodeTensor(*whole, t.name)) == 0);
            const TensorRecord record = split->tensor(NumberOf(*split, t.name));
            const uint64_t unit = group == 100 ? 1600 : 64, units = (t.cols() + unit - 1) / unit;
            CHECK(record.part_count == std::min<uint64_t>(parts, units));
            uint64_t sum = 0;
            for (const Linear& l : LinearsOf(*split, t.name)) {
              CHECK(sum % unit == 0);
              sum += l.cols;
            }
            CHECK(sum == t.cols());
            if (record.part_count > 1) CHECK(record.axis == t.shape.size() - 1);
          }
        }
      }
    }
  }
}

TEST_CASE("tensors of zeros and of one value: operands become constants or nothing") {
  Workshop shop;
  const std::vector<float> zeros(3 * 200, 0.0f), ones(3 * 200, 3.5f), minus(3 * 200, -0.25f);
  const std::vector<DenseTensor> tensors = {
      TensorOf("zeros", DType::kF32, {3, 200}, zeros), TensorOf("ones", DType::kF16, {3, 200}, ones),
      TensorOf("minus", DType::kBF16, {3, 200}, minus), RandomTensor("z", DType::kF16, {5, 200}, 11)};
  for (const auto zero : {ZeroPointKind::kSymmetric, ZeroPointKind::kInteger, ZeroPointKind::kFloat}) {
    for (int bits : {1, 4, 7}) {
      for (const uint64_t group : {uint64_t{64}, Method::kPerChannel, Method::kPerTensor}) {
        for (const uint32_t parts : {1u, 2u}) {
          ConvertOptions options = By(LinearMethod(bits, group, zero));
          options.split_columns = parts;
          const auto model = shop.Make(tensors, options);
          for (const char* name : {"zeros", "ones", "minus"}) {
            for (const Linear& l : LinearsOf(*model, name)) {
              CHECK(l.s.form <= OperandForm::kConstant);
              CHECK(l.z.form <= OperandForm::kConstant);
              CHECK(l.group_count() == 1);
            }
          }
          CHECK(DecodeTensor(*model, "zeros") == zeros);
          if (zero == ZeroPointKind::kFloat) CHECK(DecodeTensor(*model, "ones") == ones);
          if (zero == ZeroPointKind::kFloat) CHECK(DecodeTensor(*model, "minus") == minus);
        }
      }
    }
  }
}

}  // namespace
}  // namespace ingot::test

#include "convert/quantize/group_quantizer.h"

#include <doctest/doctest.h>

#include <limits>
#include <random>

#include "kernels/targets.h"
#include "tests/convert/reference_quantizer.h"

namespace ingot {
namespace {

using reference::Tensor;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Everything that Quantize gave, of a whole tensor.
struct Result {
  std::optional<QuantizeError> error;
  bool create_failed = false;
  QuantizedRows rows;
  DType outlier_dtype = DType::kF32;
  GroupFit tensor_fit;
  std::vector<uint32_t> columns;

  std::vector<uint32_t> Bits() const {
    std::vector<uint32_t> bits(rows.codes.begin(), rows.codes.end());
    for (const auto* floats : {&rows.scales, &rows.zeros, &rows.outlier_values, &rows.column_values}) {
      for (float f : *floats) bits.push_back(std::bit_cast<uint32_t>(f));
    }
    for (const auto* ints : {&rows.outlier_counts, &rows.outlier_columns, &columns})
      bits.insert(bits.end(), ints->begin(), ints->end());
    bits.insert(bits.end(), rows.zero_codes.begin(), rows.zero_codes.end());
    bits.push_back(std::bit_cast<uint32_t>(tensor_fit.scale));
    bits.push_back(std::bit_cast<uint32_t>(tensor_fit.zero));
    bits.push_back(static_cast<uint32_t>(rows.inexact_outliers));
    return bits;
  }
};

template <typename T>
void Extend(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// Stats and quantization, the rows cut into blocks of `block`.
Result Run(const Method& m, DType source, const Tensor& t, uint64_t block = 3, bool allow = true) {
  TensorStats stats(m, source, t.rows, t.cols);
  while (stats.NeedsPass()) {
    for (uint64_t r = 0; r < t.rows; r += block) stats.AddRows(&t.values[r * t.cols], std::min(block, t.rows - r));
    stats.EndPass();
  }
  Result result;
  const auto quantizer = GroupQuantizer::Create(m, source, t.cols, stats.fit(), allow);
  result.create_failed = !quantizer;
  if (!quantizer) return result;
  result.outlier_dtype = quantizer->outlier_dtype();
  result.tensor_fit = quantizer->tensor_fit();
  result.columns = stats.fit().outlier_columns;
  QuantizedRows part;
  for (uint64_t r = 0; r < t.rows; r += block) {
    if (auto ok = quantizer->Quantize(&t.values[r * t.cols], r, std::min(block, t.rows - r), part); !ok) {
      result.error = ok.error();
      return result;
    }
    Extend(result.rows.codes, part.codes);
    Extend(result.rows.scales, part.scales);
    Extend(result.rows.zeros, part.zeros);
    Extend(result.rows.zero_codes, part.zero_codes);
    Extend(result.rows.outlier_counts, part.outlier_counts);
    Extend(result.rows.outlier_columns, part.outlier_columns);
    Extend(result.rows.outlier_values, part.outlier_values);
    Extend(result.rows.column_values, part.column_values);
    result.rows.inexact_outliers += part.inexact_outliers;
  }
  return result;
}

reference::Fit FitAt(const Method& m, const Result& got, const Tensor& t, uint64_t element) {
  if (m.group_size == Method::kPerTensor) return {got.tensor_fit.scale, got.tensor_fit.zero};
  const uint64_t group = m.group_size == Method::kPerChannel ? t.cols : std::min(m.group_size, t.cols);
  const uint64_t g = element / t.cols * ((t.cols + group - 1) / group) + element % t.cols / group;
  float z = m.bits == 1 ? 0.5f : static_cast<float>(1 << (m.bits - 1));
  if (m.kind != MethodKind::kLinear) z = 0;
  if (!got.rows.zeros.empty()) z = got.rows.zeros[g];
  if (!got.rows.zero_codes.empty()) z = got.rows.zero_codes[g];
  return {got.rows.scales[g], z};
}

// The whole tensor as a reader decodes it, and the h of each element (NaN where none is stored).
std::vector<float> DecodeAll(const Method& m, const Result& got, const Tensor& t,
                             std::vector<float>* stored = nullptr) {
  std::vector<float> h(t.values.size(), kNan), w(t.values.size());
  size_t next = 0;
  for (uint64_t r = 0; r < got.rows.outlier_counts.size(); ++r) {
    for (uint32_t i = 0; i < got.rows.outlier_counts[r]; ++i, ++next)
      h[r * t.cols + got.rows.outlier_columns[next]] = got.rows.outlier_values[next];
  }
  next = 0;
  for (uint64_t r = 0; r < t.rows; ++r) {
    for (uint32_t c : got.columns) h[r * t.cols + c] = got.rows.column_values[next++];
  }
  for (uint64_t i = 0; i < w.size(); ++i) {
    w[i] = reference::Decode(m, FitAt(m, got, t, i), got.rows.codes[i]);
    if (!std::isnan(h[i])) w[i] = w[i] + h[i];
  }
  if (stored != nullptr) *stored = h;
  return w;
}

size_t Differences(const std::vector<float>& a, const std::vector<float>& b) {
  size_t wrong = a.size() != b.size();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    wrong += std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i]);
  return wrong;
}

void CheckOutliers(const Method& m, const Result& got, const Tensor& t, const reference::Outcome& expected) {
  std::vector<float> h;
  const std::vector<float> w = DecodeAll(m, got, t, &h);
  size_t misplaced = 0, inexact = 0, unrepresentable = 0, opposed = 0;
  const int top = (1 << m.bits) - 1;
  const bool has_zero = m.kind != MethodKind::kLinear || m.zero_point == ZeroPointKind::kInteger ||
                        (m.zero_point == ZeroPointKind::kSymmetric && m.bits > 1);
  for (size_t i = 0; i < w.size(); ++i) {
    if (std::isnan(t.values[i])) continue;
    misplaced += std::isnan(h[i]) == expected.outlier[i];
    if (!expected.outlier[i]) continue;
    inexact += w[i] != t.values[i];
    unrepresentable += RoundTo(got.outlier_dtype, h[i]) != h[i];
    if (!std::isfinite(t.values[i])) continue;
    const float base = reference::Decode(m, FitAt(m, got, t, i), got.rows.codes[i]);
    if (has_zero) CHECK(base == 0.0f);
    // The base never has the other sign than the value, where the grid has a point on that side.
    const bool at_end = m.zero_point == ZeroPointKind::kFloat && (got.rows.codes[i] == (t.values[i] < 0 ? 0 : top));
    opposed += base * t.values[i] < 0 && !at_end && FitAt(m, got, t, i).s != 0;
  }
  CHECK(opposed == 0);
  CHECK(misplaced == 0);
  CHECK(inexact == got.rows.inexact_outliers);
  CHECK(unrepresentable == 0);
  if (has_zero) CHECK(inexact == 0);
}

void CheckAgainstReference(const Method& m, DType source, const Tensor& t) {
  const reference::Outcome expected = reference::Quantize(m, t);
  const Result got = Run(m, source, t);
  CHECK((got.error.has_value() || got.create_failed) == expected.scale_error);
  if (expected.scale_error || got.error || got.create_failed) return;
  size_t wrong_codes = 0;
  for (size_t i = 0; i < expected.codes.size(); ++i)
    wrong_codes += !expected.outlier[i] && got.rows.codes[i] != expected.codes[i];
  CHECK(wrong_codes == 0);
  CHECK(got.columns == expected.outlier_columns);
  if (m.group_size == Method::kPerTensor) {
    CHECK(got.rows.scales.empty());
    CHECK(Differences({got.tensor_fit.scale, got.tensor_fit.zero}, {expected.scales[0], expected.zeros[0]}) == 0);
  } else {
    CHECK(Differences(got.rows.scales, expected.scales) == 0);
    std::vector<float> zeros = got.rows.zeros;
    if (!got.rows.zero_codes.empty()) zeros.assign(got.rows.zero_codes.begin(), got.rows.zero_codes.end());
    if (zeros.empty()) zeros = expected.zeros;
    CHECK(Differences(zeros, expected.zeros) == 0);
  }
  CheckOutliers(m, got, t, expected);
}

Tensor Normal(uint64_t rows, uint64_t cols, DType source, uint32_t seed, float sigma = 0.02f) {
  std::mt19937 random(seed);
  Tensor t{rows, cols, std::vector<float>(rows * cols)};
  for (float& v : t.values) {  // a sum of uniforms: the same numbers with any standard library
    float sum = 0;
    for (int i = 0; i < 6; ++i) sum += static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
    v = RoundTo(source, sum * 1.4142135f * sigma);
  }
  return t;
}

// Rows of values that trip quantizers: zeros of both signs, constants, subnormals, huge, one-sided and narrow ranges.
Tensor Special(uint64_t cols) {
  const float max = std::numeric_limits<float>::max(), tiny = std::numeric_limits<float>::denorm_min();
  const std::vector<std::vector<float>> patterns = {{0.0f},
                                                    {-0.0f},
                                                    {0.0f, -0.0f},
                                                    {1.5f},
                                                    {-1.5f},
                                                    {1e-9f},
                                                    {-1e-9f},
                                                    {tiny},
                                                    {tiny, -tiny},
                                                    {1e-40f, -3e-40f, 0.0f},
                                                    {1.0f, 2.0f, 3.0f},
                                                    {-1.0f, -2.0f, -3.0f},
                                                    {1000.0f, 1000.0625f},
                                                    {-1000.0f, -1000.0625f},
                                                    {100.0f, 100.25f, 101.0f},
                                                    {0.5f, -0.5f},
                                                    {6e4f, -6e4f},
                                                    {1e-3f, -2e-8f, 3e-5f},
                                                    {1e-7f, 5e-8f, -1e-7f},
                                                    {2.0f, 0.0f, 0.0f, 0.0f, -0.0f}};
  const std::vector<std::vector<float>> huge = {{max, -max}, {max}, {-max, 0.0f}, {1e38f, -1e38f, 3.0f}};
  Tensor t{0, cols, {}};
  for (const auto& list : {patterns, huge}) {
    for (const auto& pattern : list) {
      for (uint64_t c = 0; c < cols; ++c) t.values.push_back(pattern[c % pattern.size()]);
      ++t.rows;
    }
  }
  return t;
}

std::vector<Method> LinearMethods() {
  std::vector<Method> methods;
  for (int bits = 1; bits <= 8; ++bits) {
    for (const auto zero : {ZeroPointKind::kSymmetric, ZeroPointKind::kInteger, ZeroPointKind::kFloat}) {
      for (const DType scale : {DType::kF32, DType::kF16, DType::kBF16}) {
        methods.push_back({MethodKind::kLinear, bits, 128, zero, scale, false, 0.0, OutlierKind::kUnstructured});
      }
    }
  }
  for (const auto kind : {MethodKind::kNf4, MethodKind::kFp4}) {
    for (const DType scale : {DType::kF32, DType::kF16, DType::kBF16}) {
      methods.push_back({kind, 4, 64, ZeroPointKind::kSymmetric, scale, false, 0.0, OutlierKind::kUnstructured});
    }
  }
  return methods;
}

const std::vector<uint64_t> kGroups = {1, 3, 32, 64, 100, 128, Method::kPerChannel, Method::kPerTensor};

void CaptureAndCheck(const Method& m, DType source, const Tensor& t) {
  CAPTURE(static_cast<int>(m.kind));
  CAPTURE(m.bits);
  CAPTURE(static_cast<int>(m.zero_point));
  CAPTURE(static_cast<int>(m.scale_dtype));
  CAPTURE(m.group_size);
  CAPTURE(m.mse_clip);
  CAPTURE(m.outlier_ratio);
  CAPTURE(static_cast<int>(m.outlier_kind));
  CAPTURE(t.cols);
  CheckAgainstReference(m, source, t);
}

template <typename Check>
void OnEveryTarget(const Check& check) {
  for (const std::string& target : AvailableTargets()) {
    CAPTURE(target);
    REQUIRE(SetTarget(target));
    CHECK(ActiveTarget() == target);
    check();
  }
  REQUIRE(SetTarget(""));
}

TEST_CASE("all bits, grids, scale types and groups agree with the reference, on every target") {
  OnEveryTarget([] {
    for (Method m : LinearMethods()) {
      for (const uint64_t group : kGroups) {
        m.group_size = group;
        for (const uint64_t cols : {1, 31, 203}) CaptureAndCheck(m, DType::kF16, Normal(3, cols, DType::kF16, 1));
      }
    }
  });
}

TEST_CASE("special values agree with the reference, on every target") {
  const Tensor special = Special(130);
  OnEveryTarget([&] {
    for (Method m : LinearMethods()) {
      for (const uint64_t group : {uint64_t{1}, uint64_t{64}, Method::kPerChannel}) {
        m.group_size = group;
        for (uint64_t r = 0; r < special.rows; ++r) {  // row by row: some of them do not fit the scale's type
          const auto begin = special.values.begin() + static_cast<std::ptrdiff_t>(r * special.cols);
          CAPTURE(r);
          CaptureAndCheck(m, DType::kF32,
                          {1, special.cols, {begin, begin + static_cast<std::ptrdiff_t>(special.cols)}});
        }
      }
    }
  });
}

TEST_CASE("outliers of both kinds agree with the reference, ties included, on every target") {
  Tensor ties = Normal(7, 150, DType::kBF16, 5);
  for (size_t i = 0; i < ties.values.size(); i += 3) ties.values[i] = i % 2 ? 0.25f : -0.25f;
  const Tensor f32 = Normal(6, 131, DType::kF32, 6), f16 = Normal(6, 131, DType::kF16, 7);
  OnEveryTarget([&] {
    for (Method m : LinearMethods()) {
      if (m.bits > 4 && m.bits != 8) continue;
      for (const uint64_t group : {uint64_t{3}, uint64_t{64}, Method::kPerChannel, Method::kPerTensor}) {
        for (const auto kind : {OutlierKind::kUnstructured, OutlierKind::kColumns}) {
          for (const double ratio : {0.001, 0.05, 0.3, 0.999}) {
            m.group_size = group, m.outlier_kind = kind, m.outlier_ratio = ratio;
            CaptureAndCheck(m, DType::kBF16, ties);
            CaptureAndCheck(m, DType::kF32, f32);
            CaptureAndCheck(m, DType::kF16, f16);
          }
        }
      }
    }
  });
}

TEST_CASE("the clipping search agrees with the reference, on every target") {
  const Tensor t = Normal(2, 203, DType::kF16, 8), special = Special(40);
  OnEveryTarget([&] {
    for (Method m : LinearMethods()) {
      m.mse_clip = true;
      for (const uint64_t group : {uint64_t{3}, uint64_t{32}, uint64_t{100}, Method::kPerChannel, Method::kPerTensor}) {
        m.group_size = group;
        for (const double ratio : {0.0, 0.02}) {
          m.outlier_ratio = ratio;
          CaptureAndCheck(m, DType::kF16, t);
        }
      }
      m.group_size = 16, m.outlier_ratio = 0.0;
      for (uint64_t r = 0; r < special.rows; ++r) {
        const auto begin = special.values.begin() + static_cast<std::ptrdiff_t>(r * special.cols);
        CaptureAndCheck(m, DType::kF32, {1, special.cols, {begin, begin + static_cast<std::ptrdiff_t>(special.cols)}});
      }
    }
  });
}

TEST_CASE("the same bits on every target and for every cut into blocks") {
  const Tensor t = Normal(13, 277, DType::kF32, 9);
  for (Method m : LinearMethods()) {
    if (m.scale_dtype != DType::kF16) continue;
    for (const double ratio : {0.0, 0.013}) {
      m.outlier_ratio = ratio, m.mse_clip = ratio != 0.0;
      std::vector<uint32_t> first;
      OnEveryTarget([&] {
        for (const uint64_t block : {1, 4, 13}) {
          const auto bits = Run(m, DType::kF32, t, block).Bits();
          if (first.empty()) first = bits;
          CHECK(bits == first);
        }
      });
    }
  }
}

double SquaredError(const Method& m, const Tensor& t) {
  const Result got = Run(m, DType::kF16, t);
  const std::vector<float> w = DecodeAll(m, got, t);
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) sum += std::pow(static_cast<double>(w[i]) - t.values[i], 2);
  return sum;
}

TEST_CASE("the clipping search never loses, and gains clearly at few bits") {
  const Tensor t = Normal(64, 512, DType::kF16, 10);
  for (Method m : LinearMethods()) {
    m.mse_clip = false;
    const double plain = SquaredError(m, t);
    m.mse_clip = true;
    const double clipped = SquaredError(m, t);
    CAPTURE(m.bits);
    CAPTURE(static_cast<int>(m.zero_point));
    CHECK(clipped <= plain * 1.00001);
    if (m.kind == MethodKind::kLinear && m.bits <= 3) CHECK(clipped < plain * 0.85);
    if (m.kind == MethodKind::kLinear && m.bits == 4) CHECK(clipped < plain * 0.97);
  }
}

TEST_CASE("values that are not finite: named, or ignored in fitting where allowed") {
  Tensor t = Normal(4, 70, DType::kF32, 11);
  t.values[2 * 70 + 65] = kNan;
  t.values[2 * 70 + 69] = -kInf;
  t.values[3 * 70 + 1] = kInf;
  for (Method m : LinearMethods()) {
    m.group_size = 32;
    const Result refused = Run(m, DType::kF32, t, 2, false);
    REQUIRE(refused.error);
    CHECK(refused.error->kind == QuantizeError::Kind::kNonFinite);
    CHECK(refused.error->row == 2);
    CHECK(refused.error->index == 65);
    CHECK(Describe(*refused.error, m) == "value nan at row 2, column 65");
    for (const double ratio : {0.0, 0.1}) {
      for (const auto kind : {OutlierKind::kUnstructured, OutlierKind::kColumns}) {
        m.outlier_ratio = ratio, m.outlier_kind = kind;
        CheckAgainstReference(m, DType::kF32, t);
      }
    }
  }
  Tensor all = {1, 5, {kNan, kInf, -kInf, kNan, kInf}};
  for (const Method& m : LinearMethods()) CheckAgainstReference(m, DType::kF32, all);
}

TEST_CASE("a scale that does not fit is named") {
  Method m{MethodKind::kLinear, 4, 32, ZeroPointKind::kSymmetric, DType::kF16, false, 0.0, OutlierKind::kUnstructured};
  Tensor t = Normal(3, 64, DType::kF32, 12);
  t.values[64 + 40] = 1e9f;
  const Result got = Run(m, DType::kF32, t);
  REQUIRE(got.error);
  CHECK(got.error->row == 1);
  CHECK(got.error->index == 1);
  CHECK(Describe(*got.error, m) ==
        "scale 1.42857e+08 of row 1, group 1 does not fit f16; use --scale-dtype f32 or bf16");
  m.group_size = Method::kPerTensor;
  CHECK(Run(m, DType::kF32, t).create_failed);
}

TEST_CASE("methods that make no sense are refused") {
  const Method good{MethodKind::kLinear, 4,     128, ZeroPointKind::kInteger,
                    DType::kF16,         false, 0.0, OutlierKind::kUnstructured};
  CHECK(GroupQuantizer::Create(good, DType::kF16, 10));
  const auto refused = [&](auto change) {
    Method bad = good;
    change(bad);
    return !GroupQuantizer::Create(bad, DType::kF16, 10);
  };
  CHECK(refused([](Method& m) { m.kind = MethodKind::kKeep; }));
  CHECK(refused([](Method& m) { m.bits = 0; }));
  CHECK(refused([](Method& m) { m.bits = 9; }));
  CHECK(refused([](Method& m) { m.kind = MethodKind::kNf4, m.bits = 3; }));
  CHECK(refused([](Method& m) { m.outlier_ratio = 1.0; }));
  CHECK(refused([](Method& m) { m.outlier_ratio = kNan; }));
  CHECK(refused([](Method& m) { m.scale_dtype = DType::kF64; }));
  CHECK(!GroupQuantizer::Create(good, DType::kI32, 10));
  CHECK(!GroupQuantizer::Create(good, DType::kF16, 0));
}

TEST_CASE("codebooks: every entry comes back, midpoints go down, -0 of FP4 is never written") {
  for (const auto kind : {MethodKind::kNf4, MethodKind::kFp4}) {
    const Method m{kind,  4,   Method::kPerChannel,       ZeroPointKind::kSymmetric, DType::kF32,
                   false, 0.0, OutlierKind::kUnstructured};
    const auto book = reference::BookOf(kind);
    Tensor t{1, 0, {}};
    for (float v : book) t.values.push_back(v);
    for (float a : book) {
      for (float b : book) {
        const double mid = (static_cast<double>(a) + b) / 2;
        for (const float x : {static_cast<float>(mid), std::nextafter(static_cast<float>(mid), -2.0f),
                              std::nextafter(static_cast<float>(mid), 2.0f)})
          t.values.push_back(x);
      }
    }
    t.cols = t.values.size();
    CheckAgainstReference(m, DType::kF32, t);
    const Result got = Run(m, DType::kF32, t);
    for (size_t i = 0; i < 16; ++i) CHECK(got.rows.codes[i] == (kind == MethodKind::kFp4 && i == 8 ? 0 : i));
  }
}

int Passes(Method m, DType source, const Tensor& t) {
  TensorStats stats(m, source, t.rows, t.cols);
  int passes = 0;
  for (; stats.NeedsPass(); ++passes) {
    stats.AddRows(t.values.data(), t.rows);
    stats.EndPass();
  }
  return passes;
}

TEST_CASE("the passes that a method needs") {
  Tensor t = Normal(4, 100, DType::kF32, 13);
  Method m{MethodKind::kLinear, 4, 128, ZeroPointKind::kInteger, DType::kF16, true, 0.0, OutlierKind::kUnstructured};
  CHECK(Passes(m, DType::kF32, t) == 0);
  m.outlier_ratio = 0.01;
  CHECK(Passes(m, DType::kF32, t) == 2);
  for (float& v : t.values) v = RoundTo(DType::kF16, v);
  t.values[7] = 5.0f, t.values[8] = 4.0f, t.values[9] = 3.0f, t.values[10] = -2.0f;
  CHECK(Passes(m, DType::kF16, t) == 1);
  t.values[200] = 2.0f;
  CHECK(Passes(m, DType::kF16, t) == 2);
  m.outlier_kind = OutlierKind::kColumns;
  CHECK(Passes(m, DType::kF16, t) == 1);
  m.group_size = Method::kPerTensor;
  CHECK(Passes(m, DType::kF16, t) == 3);
  m.mse_clip = false, m.outlier_ratio = 0.0;
  CHECK(Passes(m, DType::kF16, t) == 1);
}

TEST_CASE("the number of outliers is rounded half to even") {
  CHECK(OutlierCount(50, 0.01) == 0);
  CHECK(OutlierCount(150, 0.01) == 2);
  CHECK(OutlierCount(250, 0.01) == 2);
  CHECK(OutlierCount(1000, 0.0) == 0);
  CHECK(OutlierCount(3, 0.999) == 3);
}

TEST_CASE("f32 outliers beside a grid without zero come back in nearly every case") {
  const Tensor t = Normal(50, 200, DType::kF16, 14);
  for (const auto zero : {ZeroPointKind::kFloat, ZeroPointKind::kSymmetric}) {
    const Method m{MethodKind::kLinear,       zero == ZeroPointKind::kFloat ? 3 : 1, 64, zero, DType::kF16, false, 0.05,
                   OutlierKind::kUnstructured};
    const Result got = Run(m, DType::kF16, t);
    CHECK(got.outlier_dtype == DType::kF32);
    CHECK(got.rows.outlier_values.size() == 500);
    CHECK(got.rows.inexact_outliers == 0);
  }
}

}  // namespace
}  // namespace ingot

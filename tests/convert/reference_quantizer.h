// A quantizer in plain scalar code, written from the definitions and sharing none of the quantizer's code: what the
// tests compare with.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "convert/method.h"
#include "format/dtype.h"

namespace ingot::reference {

struct Tensor {
  uint64_t rows, cols;
  std::vector<float> values;
};

struct Outcome {
  bool scale_error = false;
  std::vector<uint8_t> codes;
  std::vector<float> scales, zeros;  // per group; one each for a per-tensor group
  std::vector<bool> outlier;         // per element
  std::vector<uint32_t> outlier_columns;
};

inline std::vector<float> BookOf(MethodKind kind) {
  if (kind == MethodKind::kNf4) {
    return {-1.0f,
            -0.6961928009986877f,
            -0.5250730514526367f,
            -0.39491748809814453f,
            -0.28444138169288635f,
            -0.18477343022823334f,
            -0.09105003625154495f,
            0.0f,
            0.07958029955625534f,
            0.16093020141124725f,
            0.24611230194568634f,
            0.33791524171829224f,
            0.44070982933044434f,
            0.5626170039176941f,
            0.7229568362236023f,
            1.0f};
  }
  std::vector<float> book;
  for (const float sign : {1.0f, -1.0f}) {
    for (const float twelfths : {0.0f, 0.0625f, 8.0f, 12.0f, 4.0f, 6.0f, 2.0f, 3.0f})
      book.push_back(sign * (twelfths / 12.0f));
  }
  return book;
}

struct Fit {
  float s = 0, z = 0;
};

inline float SmallestOf(DType type) {
  return type == DType::kF16    ? F16ToF32(1)
         : type == DType::kBF16 ? BF16ToF32(1)
                                : std::numeric_limits<float>::denorm_min();
}

// Nothing if the scale does not fit.
inline std::optional<Fit> FitValues(const Method& m, float lo, float hi) {
  const int n = (1 << m.bits) - 1;
  const auto round_scale = [&](float exact, bool nonzero) -> std::optional<float> {
    float s = RoundTo(m.scale_dtype, exact);
    if (s == 0 && nonzero) s = SmallestOf(m.scale_dtype);
    return std::isfinite(s) ? std::optional(s) : std::nullopt;
  };
  const auto step = [&](float a, float b) {
    return std::isinf(b - a) ? b / static_cast<float>(n) - a / static_cast<float>(n) : (b - a) / static_cast<float>(n);
  };
  const float absmax = std::max(std::fabs(lo), std::fabs(hi)), lo0 = std::min(lo, 0.0f), hi0 = std::max(hi, 0.0f);
  std::optional<float> s;
  if (m.kind != MethodKind::kLinear) {
    s = round_scale(absmax, absmax > 0);
    return s ? std::optional(Fit{*s, 0}) : std::nullopt;
  }
  if (m.zero_point == ZeroPointKind::kSymmetric) {
    s = m.bits == 1 ? round_scale(2 * absmax, absmax > 0)
                    : round_scale(absmax / static_cast<float>((1 << (m.bits - 1)) - 1), absmax > 0);
    if (!s) return {};
    return Fit{*s, m.bits == 1 ? 0.5f : static_cast<float>(1 << (m.bits - 1))};
  }
  if (m.zero_point == ZeroPointKind::kInteger) {
    if (!(s = round_scale(step(lo0, hi0), hi0 > lo0))) return {};
    if (*s == 0) return Fit{0, 0};
    return Fit{*s, std::fabs(std::min(std::max(std::nearbyint(-lo0 / *s), 0.0f), static_cast<float>(n)))};
  }
  if (lo == hi) {
    if (!(s = round_scale(std::fabs(lo), lo != 0))) return {};
    return Fit{*s, lo < 0 ? 1.0f : 0.0f};
  }
  if (!(s = round_scale(step(lo, hi), true))) return {};
  float z = RoundTo(m.scale_dtype, -lo / *s);
  if (std::isinf(z)) {
    if (!(s = round_scale(step(lo0, hi0), true))) return {};
    z = RoundTo(m.scale_dtype, -lo0 / *s);
  }
  return Fit{*s, z == 0 ? 0.0f : z};
}

inline size_t NearestEntry(const std::vector<float>& book, float x) {
  size_t best = 0;
  for (size_t i = 1; i < book.size(); ++i) {
    if (std::signbit(book[i]) && book[i] == 0) continue;
    const double a = std::fabs(static_cast<double>(x) - book[i]), b = std::fabs(static_cast<double>(x) - book[best]);
    if (a < b || (a == b && book[i] < book[best])) best = i;
  }
  return best;
}

inline uint8_t CodeOf(const Method& m, Fit fit, float w) {
  const float n = static_cast<float>((1 << m.bits) - 1);
  if (std::isnan(w)) w = 0;
  if (m.kind != MethodKind::kLinear) {
    const auto book = BookOf(m.kind);
    if (fit.s == 0) return static_cast<uint8_t>(NearestEntry(book, 0));
    const float x = std::min(std::max(w / fit.s, -2.0f), 2.0f);
    return static_cast<uint8_t>(NearestEntry(book, x));
  }
  if (m.zero_point == ZeroPointKind::kSymmetric && m.bits == 1) return w >= 0 || fit.s == 0;
  if (fit.s == 0) return static_cast<uint8_t>(fit.z);
  if (m.zero_point == ZeroPointKind::kFloat) {
    const float x = w / fit.s;
    return static_cast<uint8_t>(std::min(std::max(std::nearbyint(x + fit.z), 0.0f), n));
  }
  return static_cast<uint8_t>(std::min(std::max(std::nearbyint(w / fit.s) + fit.z, 0.0f), n));
}

inline float Decode(const Method& m, Fit fit, uint8_t code) {
  if (m.kind != MethodKind::kLinear) return fit.s * BookOf(m.kind)[code];
  const float steps = static_cast<float>(code) - fit.z;
  return fit.s * steps;
}

// The f32 sum over 16 lanes of the squared errors in units of the scale.
inline float ClipError(const Method& m, Fit fit, const std::vector<float>& values) {
  const float inverse = 1.0f / fit.s, n = static_cast<float>((1 << m.bits) - 1);
  const auto book = BookOf(m.kind == MethodKind::kLinear ? MethodKind::kNf4 : m.kind);
  float lanes[16] = {};
  for (size_t i = 0; i < values.size(); ++i) {
    float x = values[i] * inverse, e;
    if (m.kind != MethodKind::kLinear) {
      e = x - book[NearestEntry(book, x)];
    } else if (m.zero_point == ZeroPointKind::kSymmetric && m.bits == 1) {
      e = std::fabs(x) - 0.5f;
    } else if (m.zero_point == ZeroPointKind::kFloat) {
      x = x + fit.z;
      e = x - std::nearbyint(std::min(std::max(x, 0.0f), n));
    } else {
      e = x - std::nearbyint(std::min(std::max(x, -fit.z), n - fit.z));
    }
    lanes[i % 16] += e * e;
  }
  for (size_t half : {8, 4, 2, 1}) {
    for (size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// `runs`: the values to fit, cut where the sums are cut (rows of a per-tensor group).
inline std::optional<Fit> FitGroup(const Method& m, const std::vector<std::vector<float>>& runs) {
  float lo = std::numeric_limits<float>::infinity(), hi = -lo;
  for (const auto& run : runs) {
    for (float v : run) lo = std::min(lo, v), hi = std::max(hi, v);
  }
  if (lo > hi) lo = hi = 0;
  const auto whole = FitValues(m, lo, hi);
  if (!whole || !m.mse_clip || whole->s == 0 || std::isinf(1.0f / whole->s)) return whole;
  Fit best = *whole;
  double least = std::numeric_limits<double>::infinity();
  const int steps[] = {0, 7, 7, 6, 4, 3, 2, 1, 1};
  for (int i = 0; i < 32; ++i) {
    const float c = static_cast<float>(256 - i * steps[m.bits]) / 256.0f;
    const auto fit = FitValues(m, c * lo, c * hi);
    if (!fit || fit->s == 0 || std::isinf(1.0f / fit->s)) continue;
    double error = 0;
    for (const auto& run : runs) {
      if (!run.empty()) error += static_cast<double>(fit->s) * fit->s * static_cast<double>(ClipError(m, *fit, run));
    }
    if (error < least) least = error, best = *fit;
  }
  return best;
}

inline uint64_t HalfEven(double x) { return static_cast<uint64_t>(std::nearbyint(x)); }

inline void MarkOutliers(const Method& m, const Tensor& t, Outcome& out) {
  out.outlier.assign(t.values.size(), false);
  if (m.outlier_kind == OutlierKind::kUnstructured) {
    std::vector<size_t> order;
    for (size_t i = 0; i < t.values.size(); ++i) {
      if (std::isfinite(t.values[i])) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return std::fabs(t.values[a]) > std::fabs(t.values[b]); });
    const size_t count =
        std::min<size_t>(order.size(), HalfEven(static_cast<double>(t.values.size()) * m.outlier_ratio));
    for (size_t i = 0; i < count; ++i) out.outlier[order[i]] = true;
    return;
  }
  std::vector<double> norms(t.cols, 0.0);
  for (uint64_t i = 0; i < t.values.size(); ++i) {
    const double v = t.values[i];
    if (std::isfinite(v)) norms[i % t.cols] += v * v;
  }
  std::vector<uint32_t> order;
  for (uint32_t c = 0; c < t.cols; ++c) order.push_back(c);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return norms[a] > norms[b]; });
  order.resize(HalfEven(static_cast<double>(t.cols) * m.outlier_ratio));
  std::sort(order.begin(), order.end());
  out.outlier_columns = order;
  for (uint32_t c : order) {
    for (uint64_t r = 0; r < t.rows; ++r) out.outlier[r * t.cols + c] = true;
  }
}

// The codes at outlier positions are those of plain quantization; the caller checks outliers by decoding.
inline Outcome Quantize(const Method& m, const Tensor& t) {
  Outcome out;
  MarkOutliers(m, t, out);
  out.codes.resize(t.values.size());
  const bool per_tensor = m.group_size == Method::kPerTensor;
  const uint64_t group = per_tensor || m.group_size == Method::kPerChannel ? t.cols : std::min(m.group_size, t.cols);
  std::vector<std::vector<float>> runs;
  for (uint64_t r = 0; r < t.rows; ++r) {
    for (uint64_t begin = 0; begin < t.cols; begin += group) {
      const uint64_t end = std::min(begin + group, t.cols);
      runs.emplace_back();
      for (uint64_t i = r * t.cols + begin; i < r * t.cols + end; ++i) {
        if (!out.outlier[i] && std::isfinite(t.values[i])) runs.back().push_back(t.values[i]);
      }
      if (per_tensor && r + 1 < t.rows) continue;
      const auto fit = FitGroup(m, runs);
      runs.clear();
      if (!fit) return out.scale_error = true, out;
      out.scales.push_back(fit->s);
      out.zeros.push_back(fit->z);
      const uint64_t from = per_tensor ? 0 : r * t.cols + begin, to = r * t.cols + end;
      for (uint64_t i = from; i < to; ++i) out.codes[i] = CodeOf(m, *fit, t.values[i]);
    }
  }
  return out;
}

}  // namespace ingot::reference

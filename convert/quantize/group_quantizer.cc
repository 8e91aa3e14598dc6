#include "convert/quantize/group_quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "convert/quantize/exclusion.h"

namespace ingot {
namespace {

DType OutlierType(DType source, bool grid_has_zero) {
  if (!grid_has_zero) return DType::kF32;
  if (source == DType::kF16 || source == DType::kBF16) return source;
  return source == DType::kF8E4M3 || source == DType::kF8E5M2 ? DType::kF16 : DType::kF32;
}

std::string_view TypeName(DType type) { return type == DType::kF16 ? "f16" : type == DType::kBF16 ? "bf16" : "f32"; }

Status CheckMethod(const Method& m, DType source, uint64_t cols) {
  if (m.kind == MethodKind::kKeep) return Fail(ErrorCode::kUsage, "no quantization method is given");
  if (m.bits < 1 || m.bits > 8) return Fail(ErrorCode::kUsage, "{} bits: a code has 1 to 8", m.bits);
  if (m.kind != MethodKind::kLinear && m.bits != 4) {
    return Fail(ErrorCode::kUsage, "{} bits: nf4 and fp4 have 4", m.bits);
  }
  if (!(m.outlier_ratio >= 0.0 && m.outlier_ratio < 1.0)) {
    return Fail(ErrorCode::kUsage, "outlier ratio {}: it must be at least 0 and below 1", m.outlier_ratio);
  }
  if (m.scale_dtype != DType::kF32 && m.scale_dtype != DType::kF16 && m.scale_dtype != DType::kBF16) {
    return Fail(ErrorCode::kUsage, "scales of type {}: they are f32, f16 or bf16", InfoOf(m.scale_dtype).name);
  }
  if (!InfoOf(source).is_float) return Fail(ErrorCode::kUsage, "{} cannot be quantized", InfoOf(source).name);
  if (cols == 0 || cols > UINT32_MAX) return Fail(ErrorCode::kUsage, "rows of {} columns cannot be quantized", cols);
  return {};
}

uint32_t MagnitudeBits(float value) { return std::bit_cast<uint32_t>(value) & 0x7FFFFFFFu; }

}  // namespace

Result<GroupQuantizer> GroupQuantizer::Create(const Method& method, DType source, uint64_t cols, TensorFit fit,
                                              bool allow_nonfinite) {
  if (Status status = CheckMethod(method, source, cols); !status) return Propagate(status);
  GroupQuantizer q;
  q.method_ = method;
  q.cols_ = cols;
  const bool whole_row = method.group_size == Method::kPerChannel || method.group_size == Method::kPerTensor;
  q.group_ = whole_row ? cols : std::min(method.group_size, cols);
  q.groups_ = cols / q.group_ + (cols % q.group_ != 0);
  q.has_zero_ = GridHasZero(method);
  q.outlier_dtype_ = OutlierType(source, q.has_zero_);
  q.allow_nonfinite_ = allow_nonfinite;
  q.fit_ = std::move(fit);
  for (uint32_t column : q.fit_.outlier_columns) {
    if (column >= cols) return Fail(ErrorCode::kUsage, "outlier column {} of {} columns", column, cols);
  }
  if (q.per_tensor()) {
    const ValueRange range =
        q.fit_.clip_candidate == 0 ? q.fit_.range : ClippedRange(method, q.fit_.range, q.fit_.clip_candidate);
    if (!FitRange(method, range, &q.tensor_fit_)) {
      return Fail(ErrorCode::kUsage, "the scale {:g} does not fit {}; use --scale-dtype f32 or bf16",
                  q.tensor_fit_.scale, TypeName(method.scale_dtype));
    }
  }
  return q;
}

tl::expected<void, QuantizeError> GroupQuantizer::Quantize(const float* values, uint64_t first_row, uint64_t rows,
                                                           QuantizedRows& out) const {
  const bool arrays = !per_tensor(), linear = method_.kind == MethodKind::kLinear;
  const size_t groups = arrays ? rows * groups_ : 0;
  out.codes.resize(rows * cols_);
  out.scales.resize(groups);
  out.zero_codes.resize(linear && method_.zero_point == ZeroPointKind::kInteger ? groups : 0);
  out.zeros.resize(linear && method_.zero_point == ZeroPointKind::kFloat ? groups : 0);
  out.outlier_counts.clear();
  out.outlier_columns.clear();
  out.outlier_values.clear();
  out.column_values.clear();
  out.inexact_outliers = 0;
  QuantizedRows::Scratch& scratch = out.scratch;
  scratch.least.resize(groups_);
  scratch.greatest.resize(groups_);
  scratch.fits.assign(groups_, tensor_fit_);
  scratch.grids.resize(groups_);
  for (uint64_t r = 0; r < rows; ++r) {
    if (auto status = QuantizeRow(values + r * cols_, r, first_row, out); !status) return status;
  }
  return {};
}

tl::expected<void, QuantizeError> GroupQuantizer::QuantizeRow(const float* row, uint64_t r, uint64_t first_row,
                                                              QuantizedRows& out) const {
  QuantizedRows::Scratch& scratch = out.scratch;
  const uint64_t row_index = first_row + r;
  const bool finite = GroupRanges(row, cols_, group_, scratch.least.data(), scratch.greatest.data());
  if (!finite && !allow_nonfinite_) {
    const uint64_t column = FirstNonFinite(row, cols_);
    return tl::unexpected(QuantizeError{QuantizeError::Kind::kNonFinite, row_index, column, row[column]});
  }
  FindExcluded(row, row_index, finite, scratch);
  if (!per_tensor()) {
    if (auto status = FitGroups(row, row_index, scratch); !status) return status;
    for (uint64_t g = 0; g < groups_; ++g) {
      const GroupFit fit = scratch.fits[g];
      out.scales[r * groups_ + g] = fit.scale;
      if (!out.zero_codes.empty()) out.zero_codes[r * groups_ + g] = static_cast<uint8_t>(fit.zero);
      if (!out.zeros.empty()) out.zeros[r * groups_ + g] = fit.zero;
    }
  }
  Encode(row, scratch, out.codes.data() + r * cols_);
  StoreOutliers(row, r, out);
  return {};
}

// scratch.outliers: the unstructured outliers of the row; scratch.excluded: everything that is not fitted.
void GroupQuantizer::FindExcluded(const float* row, uint64_t row_index, bool finite,
                                  QuantizedRows::Scratch& scratch) const {
  scratch.outliers.clear();
  scratch.non_finite.clear();
  if (has_unstructured_outliers()) {
    LargeColumns(row, cols_, fit_.outlier_bits, scratch.outliers);
    std::erase_if(scratch.outliers,
                  [&](uint32_t c) { return !fit_.IsOutlier(MagnitudeBits(row[c]), row_index * cols_ + c); });
  }
  if (!finite) NonFiniteColumns(row, cols_, scratch.non_finite);
  const std::vector<uint32_t>& outliers = fit_.outlier_columns.empty() ? scratch.outliers : fit_.outlier_columns;
  MergeColumns(outliers, scratch.non_finite, scratch.excluded);
}

tl::expected<void, QuantizeError> GroupQuantizer::FitGroups(const float* row, uint64_t row_index,
                                                            QuantizedRows::Scratch& scratch) const {
  const std::span<const uint32_t> excluded = scratch.excluded;
  size_t next = 0;
  if (!excluded.empty()) scratch.kept.resize(group_);
  for (uint64_t g = 0; g < groups_; ++g) {
    const uint64_t begin = g * group_, end = std::min(begin + group_, cols_);
    const size_t first = next;
    while (next < excluded.size() && excluded[next] < end) ++next;
    const float* values = row + begin;
    uint64_t count = end - begin;
    ValueRange range{scratch.least[g], scratch.greatest[g]};
    if (next != first) {
      count = KeepOthers(row, begin, end, excluded.subspan(first, next - first), scratch.kept.data());
      values = scratch.kept.data();
      range = {};
      if (count != 0) GroupRanges(values, count, count, &range.least, &range.greatest);
    }
    GroupFit& fit = scratch.fits[g];
    const bool fits = method_.mse_clip ? scratch.search.Begin(method_, range, &fit) : FitRange(method_, range, &fit);
    if (!fits) return tl::unexpected(QuantizeError{QuantizeError::Kind::kScale, row_index, g, fit.scale});
    if (!method_.mse_clip) continue;
    scratch.search.Add(values, count);
    fit = scratch.search.WinningFit();
  }
  return {};
}

void GroupQuantizer::Encode(const float* row, QuantizedRows::Scratch& scratch, uint8_t* codes) const {
  if (!scratch.non_finite.empty()) {
    scratch.row.assign(row, row + cols_);
    for (uint32_t c : scratch.non_finite) {
      if (std::isnan(row[c])) scratch.row[c] = 0.0f;
    }
    row = scratch.row.data();
  }
  if (method_.kind != MethodKind::kLinear) {
    // The ranges are used up: their memory takes the scales.
    for (uint64_t g = 0; g < groups_; ++g) scratch.least[g] = scratch.fits[g].scale;
    QuantizeCodebook(row, cols_, group_, scratch.least.data(), CodebookOf(method_.kind), codes);
  } else if (method_.bits == 1 && method_.zero_point == ZeroPointKind::kSymmetric) {
    QuantizeSign(row, cols_, codes);
    // A scale of 0 wants one code for all values: +0 and not -0 is what is decoded.
    for (uint64_t g = 0; g < groups_; ++g) {
      if (scratch.fits[g].scale == 0.0f)
        std::fill(codes + g * group_, codes + std::min((g + 1) * group_, cols_), uint8_t{1});
    }
  } else {
    for (uint64_t g = 0; g < groups_; ++g) scratch.grids[g] = GridOf(method_, scratch.fits[g]);
    QuantizeLinear(row, cols_, group_, scratch.grids.data(), codes);
  }
}

void GroupQuantizer::StoreOutliers(const float* row, uint64_t r, QuantizedRows& out) const {
  uint8_t* codes = out.codes.data() + r * cols_;
  const std::vector<GroupFit>& fits = out.scratch.fits;
  if (has_unstructured_outliers()) {
    out.outlier_counts.push_back(static_cast<uint32_t>(out.scratch.outliers.size()));
    for (uint32_t c : out.scratch.outliers) {
      out.outlier_columns.push_back(c);
      out.outlier_values.push_back(SplitOutlier(row[c], fits[c / group_], codes + c, &out.inexact_outliers));
    }
  }
  for (uint32_t c : fit_.outlier_columns) {
    out.column_values.push_back(SplitOutlier(row[c], fits[c / group_], codes + c, &out.inexact_outliers));
  }
}

// Chooses code and h for an outlier; returns h.
float GroupQuantizer::SplitOutlier(float value, GroupFit fit, uint8_t* code, uint64_t* inexact) const {
  if (has_zero_) {
    *code = method_.kind != MethodKind::kLinear ? CodebookOf(method_.kind).zero_code : static_cast<uint8_t>(fit.zero);
    return value;
  }
  const int top = (1 << method_.bits) - 1;
  int q = method_.zero_point == ZeroPointKind::kSymmetric
              ? (value >= 0.0f || fit.scale == 0.0f)
              : static_cast<int>(std::clamp(std::rint(fit.zero), 0.0f, static_cast<float>(top)));
  float base = DecodeCode(method_, fit, static_cast<uint8_t>(q));
  if (method_.zero_point == ZeroPointKind::kFloat && ((base < 0.0f && value > 0.0f) || (base > 0.0f && value < 0.0f))) {
    q = std::clamp(q + (value > 0.0f ? 1 : -1), 0, top);
    base = DecodeCode(method_, fit, static_cast<uint8_t>(q));
  }
  *code = static_cast<uint8_t>(q);
  if (!std::isfinite(value)) return value;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kLargest = std::numeric_limits<float>::max();
  const float middle = std::clamp(value - base, -kLargest, kLargest);
  float best = middle, least = kInfinity;
  for (const float h : {middle, std::nextafter(middle, kInfinity), std::nextafter(middle, -kInfinity)}) {
    if (!std::isfinite(h)) continue;
    const float distance = std::fabs(base + h - value);
    if (distance < least) best = h, least = distance;
  }
  if (least != 0.0f) ++*inexact;
  return best;
}

std::string Describe(const QuantizeError& error, const Method& method) {
  if (error.kind == QuantizeError::Kind::kNonFinite) {
    return fmt::format("value {} at row {}, column {}", error.value, error.row, error.index);
  }
  const bool f16 = method.scale_dtype == DType::kF16;
  return fmt::format("scale {:g} of row {}, group {} does not fit {}{}", error.value, error.row, error.index,
                     TypeName(method.scale_dtype), f16 ? "; use --scale-dtype f32 or bf16" : "");
}

}  // namespace ingot

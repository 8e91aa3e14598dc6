#include "convert/quantize/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ingot {
namespace {

bool IsCodebook(const Method& method) { return method.kind != MethodKind::kLinear; }

float LeastPositive(DType type) {
  if (type == DType::kF16) return 0x1p-24f;
  return type == DType::kBF16 ? 0x1p-133f : 0x1p-149f;
}

// The scale in its type. `positive`: the exact scale is greater than 0. False, with *rounded = exact, if it does not
// fit.
bool RoundScale(const Method& method, float exact, bool positive, float* rounded) {
  *rounded = RoundTo(method.scale_dtype, exact);
  if (*rounded == 0.0f && positive) *rounded = LeastPositive(method.scale_dtype);
  if (std::isfinite(*rounded)) return true;
  *rounded = exact;
  return false;
}

// (hi - lo) / n, also where the difference overflows.
float StepOf(float lo, float hi, float n) {
  const float width = hi - lo;
  return std::isfinite(width) ? width / n : hi / n - lo / n;
}

float AbsMax(ValueRange range) { return std::max(std::fabs(range.least), std::fabs(range.greatest)); }

ValueRange WithZero(ValueRange range) { return {std::min(range.least, 0.0f), std::max(range.greatest, 0.0f)}; }

bool FitSymmetric(const Method& method, ValueRange range, GroupFit* fit) {
  const float absmax = AbsMax(range);
  fit->zero = method.bits == 1 ? 0.5f : static_cast<float>(1 << (method.bits - 1));
  const float exact = method.bits == 1 ? 2.0f * absmax : absmax / (fit->zero - 1.0f);
  return RoundScale(method, exact, absmax > 0.0f, &fit->scale);
}

bool FitInteger(const Method& method, ValueRange range, GroupFit* fit) {
  const auto n = static_cast<float>((1 << method.bits) - 1);
  const auto [lo, hi] = WithZero(range);
  if (!RoundScale(method, StepOf(lo, hi, n), lo < hi, &fit->scale)) return false;
  fit->zero = fit->scale == 0.0f ? 0.0f : std::clamp(std::rint(-lo / fit->scale), 0.0f, n);
  fit->zero += 0.0f;  // never -0
  return true;
}

bool FitFloat(const Method& method, ValueRange range, GroupFit* fit) {
  const auto n = static_cast<float>((1 << method.bits) - 1);
  if (range.least == range.greatest) {
    fit->zero = range.least < 0.0f ? 1.0f : 0.0f;
    return RoundScale(method, std::fabs(range.least), range.least != 0.0f, &fit->scale);
  }
  // Adding 0 turns -0, the quotient of a zero, into +0.
  const auto zero_of = [&](float lo) { return RoundTo(method.scale_dtype, -lo / fit->scale) + 0.0f; };
  if (!RoundScale(method, StepOf(range.least, range.greatest, n), true, &fit->scale)) return false;
  fit->zero = zero_of(range.least);
  if (std::isfinite(fit->zero)) return true;
  const auto [lo, hi] = WithZero(range);
  if (!RoundScale(method, StepOf(lo, hi, n), true, &fit->scale)) return false;
  fit->zero = zero_of(lo);
  return true;
}

float ClipStep(const Method& method) {
  constexpr int kSteps[9] = {0, 7, 7, 6, 4, 3, 2, 1, 1};
  return static_cast<float>(kSteps[method.bits]) * 0x1p-8f;
}

// The definitions of this file, put as FitCandidates wants them.
ClipPlan PlanOf(const Method& method, ValueRange range) {
  const auto levels = static_cast<float>((1 << method.bits) - 1);
  ClipPlan plan{range.least,
                range.greatest,
                ClipStep(method),
                levels,
                levels,
                ClipPlan::kFloat,
                0.0f,
                0,
                0x1p-126f,
                std::numeric_limits<float>::max()};
  if (method.scale_dtype == DType::kF16) {
    plan.dropped_bits = 13, plan.least_normal = 0x1p-14f, plan.largest = 65504.0f;
  } else if (method.scale_dtype == DType::kBF16) {
    plan.dropped_bits = 16;
  }
  if (!IsCodebook(method) && method.zero_point == ZeroPointKind::kFloat) return plan;
  if (!IsCodebook(method) && method.zero_point == ZeroPointKind::kInteger) {
    plan.zero_point = ClipPlan::kInteger;
    plan.least = WithZero(range).least;
    plan.greatest = WithZero(range).greatest;
    return plan;
  }
  plan.zero_point = ClipPlan::kConstant;
  plan.least = 0.0f;
  plan.greatest = AbsMax(range);
  plan.divisor = 1.0f;
  if (IsCodebook(method)) return plan;
  plan.zero = method.bits == 1 ? 0.5f : static_cast<float>(1 << (method.bits - 1));
  plan.divisor = method.bits == 1 ? 0.5f : plan.zero - 1.0f;
  return plan;
}

}  // namespace

bool FitRange(const Method& method, ValueRange range, GroupFit* fit) {
  if (IsCodebook(method)) {
    fit->zero = 0.0f;
    return RoundScale(method, AbsMax(range), AbsMax(range) > 0.0f, &fit->scale);
  }
  switch (method.zero_point) {
    case ZeroPointKind::kSymmetric:
      return FitSymmetric(method, range, fit);
    case ZeroPointKind::kInteger:
      return FitInteger(method, range, fit);
    case ZeroPointKind::kFloat:
      return FitFloat(method, range, fit);
  }
  return false;
}

LinearGrid GridOf(const Method& method, GroupFit fit) {
  const auto n = static_cast<float>((1 << method.bits) - 1);
  if (method.zero_point == ZeroPointKind::kFloat) return {fit.scale, fit.zero, 0.0f, n, 0, 0};
  const auto zero = static_cast<uint8_t>(fit.zero);
  return {fit.scale, 0.0f, 0.0f - fit.zero, n - fit.zero, zero, zero};
}

bool GridHasZero(const Method& method) {
  if (IsCodebook(method)) return true;
  if (method.zero_point == ZeroPointKind::kSymmetric) return method.bits >= 2;
  return method.zero_point == ZeroPointKind::kInteger;
}

float DecodeCode(const Method& method, GroupFit fit, uint8_t code) {
  if (IsCodebook(method)) return fit.scale * CodebookOf(method.kind).values[code & 15];
  const float steps = static_cast<float>(code) - fit.zero;
  return fit.scale * steps;
}

ValueRange ClippedRange(const Method& method, ValueRange range, size_t index) {
  const float c = 1.0f - static_cast<float>(index) * ClipStep(method);
  return {c * range.least, c * range.greatest};
}

bool ClipSearch::Begin(const Method& method, ValueRange range, GroupFit* unclipped) {
  method_ = method;
  if (!FitCandidates(PlanOf(method, range), kClipCandidates, scales_, zeros_, candidates_)) {
    return BeginSlowly(range, unclipped);
  }
  count_ = kClipCandidates;
  std::iota(index_, index_ + count_, size_t{0});
  std::fill(errors_, errors_ + count_, 0.0);
  *unclipped = unclipped_ = {scales_[0], zeros_[0]};
  return true;
}

bool ClipSearch::BeginSlowly(ValueRange range, GroupFit* unclipped) {
  count_ = 0;
  for (size_t i = 0; i < kClipCandidates; ++i) {
    GroupFit fit;
    const bool fits = FitRange(method_, ClippedRange(method_, range, i), &fit);
    if (i == 0) *unclipped = unclipped_ = fit;
    if (i == 0 && !fits) return false;
    const float inverse = fit.scale == 0.0f ? 0.0f : 1.0f / fit.scale;
    const bool competes = fits && fit.scale != 0.0f && std::isfinite(inverse);
    if (i == 0 && !competes) return true;
    if (!competes) continue;
    const LinearGrid linear = IsCodebook(method_) ? LinearGrid{} : GridOf(method_, fit);
    index_[count_] = i;
    scales_[count_] = fit.scale;
    zeros_[count_] = fit.zero;
    errors_[count_] = 0.0;
    candidates_[count_++] = {inverse, linear.add, linear.low, linear.high};
  }
  for (size_t i = count_; i % kClipBatch != 0; ++i) candidates_[i] = candidates_[count_ - 1];
  return true;
}

void ClipSearch::Add(const float* values, uint64_t count) {
  if (count_ == 0 || count == 0) return;
  float sums[kClipCandidates];
  const size_t padded = (count_ + kClipBatch - 1) / kClipBatch * kClipBatch;
  if (IsCodebook(method_)) {
    ClipErrorsCodebook(values, count, CodebookOf(method_.kind), candidates_, padded, sums);
  } else if (method_.zero_point == ZeroPointKind::kSymmetric && method_.bits == 1) {
    ClipErrorsSign(values, count, candidates_, padded, sums);
  } else {
    ClipErrorsLinear(values, count, candidates_, padded, sums);
  }
  for (size_t i = 0; i < count_; ++i) {
    const double scale = scales_[i];
    errors_[i] += scale * scale * static_cast<double>(sums[i]);
  }
}

// The first of the least errors: of equals, the larger range.
size_t ClipSearch::Best() const { return static_cast<size_t>(std::min_element(errors_, errors_ + count_) - errors_); }

size_t ClipSearch::Winner() const { return count_ == 0 ? 0 : index_[Best()]; }

GroupFit ClipSearch::WinningFit() const {
  if (count_ == 0) return unclipped_;
  const size_t best = Best();
  return {scales_[best], zeros_[best]};
}

}  // namespace ingot

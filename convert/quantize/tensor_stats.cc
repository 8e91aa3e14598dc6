#include "convert/quantize/tensor_stats.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "convert/quantize/exclusion.h"

namespace ingot {
namespace {

constexpr uint32_t kInfinityBits = 0x7F800000;
constexpr int kRefineBits = 15;

// Magnitude bits that are 0 in every value of the type; kRefineBits where all may be set.
int HistogramShift(DType source) {
  if (source == DType::kF16) return 13;
  const bool short_type = source == DType::kBF16 || source == DType::kF8E4M3 || source == DType::kF8E5M2;
  return short_type ? 16 : kRefineBits;
}

uint32_t MagnitudeBits(float value) { return std::bit_cast<uint32_t>(value) & 0x7FFFFFFFu; }

}  // namespace

uint64_t OutlierCount(uint64_t total, double ratio) {
  const double count = std::nearbyint(static_cast<double>(total) * ratio);
  if (!(count > 0.0)) return 0;
  return count >= static_cast<double>(total) ? total : static_cast<uint64_t>(count);
}

TensorStats::TensorStats(const Method& method, DType source, uint64_t rows, uint64_t cols)
    : method_(method), cols_(cols), shift_(HistogramShift(source)), lossless_(shift_ != kRefineBits) {
  if (method.kind == MethodKind::kKeep || rows == 0 || cols == 0) return;
  if (method.outlier_kind == OutlierKind::kUnstructured) {
    wanted_ = OutlierCount(rows * cols, method.outlier_ratio);
  } else {
    columns_wanted_ = OutlierCount(cols, method.outlier_ratio);
  }
  Enter(wanted_ != 0 ? Stage::kHistogram : columns_wanted_ != 0 ? Stage::kNorms : AfterSelection());
}

TensorStats::Stage TensorStats::AfterSelection() const {
  return method_.group_size == Method::kPerTensor ? Stage::kRange : Stage::kDone;
}

void TensorStats::Enter(Stage stage) {
  stage_ = stage;
  next_row_ = 0;
  if (stage == Stage::kHistogram) histogram_.assign(kInfinityBits >> shift_, 0);
  if (stage == Stage::kRefine) histogram_.assign(size_t{1} << kRefineBits, 0);
  if (stage == Stage::kNorms) norms_.assign(cols_, 0.0);
}

void TensorStats::AddRows(const float* values, uint64_t rows) {
  if (stage_ == Stage::kHistogram) return CountMagnitudes(values, rows * cols_);
  if (stage_ == Stage::kRefine) return RefineMagnitudes(values, rows * cols_);
  for (uint64_t r = 0; r < rows; ++r, ++next_row_) {
    const float* row = values + r * cols_;
    if (stage_ == Stage::kNorms) AddNorms(row);
    if (stage_ == Stage::kTies) FindLastTie(row);
    if (stage_ == Stage::kRange) AddRange(row);
    if (stage_ == Stage::kClip) AddClipErrors(row);
  }
}

void TensorStats::EndPass() {
  switch (stage_) {
    case Stage::kHistogram:
    case Stage::kRefine:
      return EndHistogram();
    case Stage::kNorms:
      return EndNorms();
    case Stage::kTies:
      return Enter(AfterSelection());
    case Stage::kRange: {
      GroupFit unused;
      // A range that does not fit is reported by the quantizer, which sees the same one.
      const bool search = method_.mse_clip && search_.Begin(method_, fit_.range, &unused);
      return Enter(search ? Stage::kClip : Stage::kDone);
    }
    case Stage::kClip:
      fit_.clip_candidate = search_.Winner();
      return Enter(Stage::kDone);
    case Stage::kDone:
      return;
  }
}

void TensorStats::CountMagnitudes(const float* values, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const uint32_t bits = MagnitudeBits(values[i]);
    if (bits < kInfinityBits) ++histogram_[bits >> shift_];
  }
}

void TensorStats::RefineMagnitudes(const float* values, uint64_t count) {
  constexpr uint64_t kBlock = 4096;
  columns_.resize(kBlock);
  for (uint64_t begin = 0; begin < count; begin += kBlock) {
    const float* block = values + begin;
    // Few values are as large as the bin; the search for them runs in SIMD.
    const uint64_t found = SelectMagnitudes(block, std::min(kBlock, count - begin), bin_ << shift_, columns_.data());
    for (uint64_t i = 0; i < found; ++i) {
      const uint32_t bits = MagnitudeBits(block[columns_[i]]);
      if (bits >> shift_ == bin_) ++histogram_[bits & ((1u << kRefineBits) - 1)];
    }
  }
}

// Walks down from the largest bin to the one with the k-th largest magnitude.
void TensorStats::EndHistogram() {
  size_t bin = histogram_.size();
  uint64_t above = 0;
  const uint64_t finite = std::accumulate(histogram_.begin(), histogram_.end(), uint64_t{0});
  wanted_ = std::min(wanted_, finite);
  if (stage_ == Stage::kHistogram) fit_.outlier_count = wanted_;
  if (wanted_ == 0) return Enter(AfterSelection());
  while (above + histogram_[--bin] < wanted_) above += histogram_[bin];
  const uint64_t in_bin = histogram_[bin];
  wanted_ -= above;
  if (stage_ == Stage::kHistogram && !lossless_) {
    bin_ = static_cast<uint32_t>(bin);
    return Enter(Stage::kRefine);
  }
  const auto low = static_cast<uint32_t>(bin);
  fit_.outlier_bits = stage_ == Stage::kRefine ? (bin_ << shift_) | low : low << shift_;
  histogram_ = {};
  Enter(wanted_ < in_bin ? Stage::kTies : AfterSelection());
}

void TensorStats::AddNorms(const float* row) {
  if (FirstNonFinite(row, cols_) == cols_) {
    for (uint64_t c = 0; c < cols_; ++c) {
      const double value = row[c];
      norms_[c] += value * value;
    }
    return;
  }
  for (uint64_t c = 0; c < cols_; ++c) {
    const double value = std::isfinite(row[c]) ? row[c] : 0.0f;
    norms_[c] += value * value;
  }
}

void TensorStats::EndNorms() {
  std::vector<uint32_t> order(cols_);
  std::iota(order.begin(), order.end(), 0u);
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(columns_wanted_);
  std::partial_sort(order.begin(), end, order.end(),
                    [this](uint32_t a, uint32_t b) { return norms_[a] != norms_[b] ? norms_[a] > norms_[b] : a < b; });
  fit_.outlier_columns.assign(order.begin(), end);
  std::sort(fit_.outlier_columns.begin(), fit_.outlier_columns.end());
  norms_ = {};
  Enter(AfterSelection());
}

void TensorStats::FindLastTie(const float* row) {
  if (wanted_ == 0) return;
  LargeColumns(row, cols_, fit_.outlier_bits, columns_);
  for (uint32_t c : columns_) {
    if (MagnitudeBits(row[c]) != fit_.outlier_bits || --wanted_ != 0) continue;
    fit_.last_tie = next_row_ * cols_ + c;
    return;
  }
}

const float* TensorStats::Kept(const float* row, uint64_t* count) {
  columns_ = fit_.outlier_columns;
  if (fit_.outlier_bits != TensorFit::kNoOutliers) {
    LargeColumns(row, cols_, fit_.outlier_bits, columns_);
    std::erase_if(columns_, [&](uint32_t c) { return !fit_.IsOutlier(MagnitudeBits(row[c]), next_row_ * cols_ + c); });
  }
  NonFiniteColumns(row, cols_, non_finite_);
  MergeColumns(columns_, non_finite_, merged_);
  *count = cols_ - merged_.size();
  if (merged_.empty()) return row;
  kept_.resize(cols_);
  KeepOthers(row, 0, cols_, merged_, kept_.data());
  return kept_.data();
}

void TensorStats::AddRange(const float* row) {
  uint64_t count;
  const float* values = Kept(row, &count);
  if (count == 0) return;
  ValueRange range;
  GroupRanges(values, count, count, &range.least, &range.greatest);
  if (!has_range_) fit_.range = range;
  has_range_ = true;
  fit_.range = {std::min(fit_.range.least, range.least), std::max(fit_.range.greatest, range.greatest)};
}

void TensorStats::AddClipErrors(const float* row) {
  uint64_t count;
  const float* values = Kept(row, &count);
  search_.Add(values, count);
}

}  // namespace ingot

// What a method needs to know of a whole tensor before its rows can be quantized: which elements or columns are
// outliers, and the range of a per-tensor group. The caller feeds the tensor's rows, as f32, as often as NeedsPass()
// says:
//
//   TensorStats stats(method, source_type, rows, cols);
//   while (stats.NeedsPass()) {
//     for (each block of rows, in order) stats.AddRows(values, rows_of_block);
//     stats.EndPass();
//   }
//   GroupQuantizer::Create(method, source_type, cols, stats.fit());
//
// A pass is fed serially and in order, by one thread at a time; how the rows are cut into blocks does not change a bit
// of the outcome. Tensors are independent of each other. Passes: per-group methods without outliers 0; outlier columns
// 1; unstructured outliers 1 for 8- and 16-bit sources, else 2, and one more if several elements tie for the last
// place; a per-tensor group 1 more, with mse_clip 2.
//
// Outliers. Unstructured: the count = round-half-even(elements * ratio) elements of the largest magnitude; of equals
// those with the lower flat index. Columns: the round-half-even(cols * ratio) columns of the largest L2 norm; of equals
// the lower index; a norm's square is summed in f64, row by row. Values that are not finite are never unstructured
// outliers, do not count in a norm and not in a range.
#pragma once

#include <cstdint>
#include <vector>

#include "convert/method.h"
#include "convert/quantize/fit.h"

namespace ingot {

// The outcome. A plain value; the default is right for methods that need no pass.
struct TensorFit {
  static constexpr uint32_t kNoOutliers = UINT32_MAX;

  // Unstructured outliers: finite elements whose magnitude, as f32 bits without the sign, is above `outlier_bits`, or
  // equal to it at a flat index (row * cols + column) of at most `last_tie`.
  uint32_t outlier_bits = kNoOutliers;
  uint64_t last_tie = UINT64_MAX;
  uint64_t outlier_count = 0;             // of unstructured outliers
  std::vector<uint32_t> outlier_columns;  // ascending
  ValueRange range;                       // of all other finite values; of kPerTensor methods only
  uint64_t clip_candidate = 0;            // of ClippedRange; of kPerTensor methods with mse_clip only

  bool IsOutlier(uint32_t magnitude_bits, uint64_t flat_index) const {
    return magnitude_bits > outlier_bits || (magnitude_bits == outlier_bits && flat_index <= last_tie);
  }
};

// round-half-even(total * ratio), at most total.
uint64_t OutlierCount(uint64_t total, double ratio);

class TensorStats {
 public:
  TensorStats(const Method& method, DType source, uint64_t rows, uint64_t cols);

  // Whether the tensor has to be fed (again).
  bool NeedsPass() const { return stage_ != Stage::kDone; }
  // The next rows of the current pass; values[rows * cols].
  void AddRows(const float* values, uint64_t rows);
  // All rows have been added.
  void EndPass();
  // The outcome; complete when no pass is needed any more.
  const TensorFit& fit() const { return fit_; }

 private:
  enum class Stage { kHistogram, kRefine, kNorms, kTies, kRange, kClip, kDone };

  void Enter(Stage stage);
  Stage AfterSelection() const;
  void CountMagnitudes(const float* values, uint64_t count);
  void RefineMagnitudes(const float* values, uint64_t count);
  void AddNorms(const float* row);
  void FindLastTie(const float* row);
  void AddRange(const float* row);
  void AddClipErrors(const float* row);
  // The row's values that take part in fitting: the row itself, or a copy without the others.
  const float* Kept(const float* row, uint64_t* count);
  void EndHistogram();
  void EndNorms();

  const Method method_;
  const uint64_t cols_;
  const int shift_;  // of the histogram: magnitude bits below it are 0 in every value of the source, or refined in a
                     // second pass
  const bool lossless_;  // no second pass is needed
  Stage stage_ = Stage::kDone;
  TensorFit fit_;
  uint64_t next_row_ = 0;  // of the current pass
  uint64_t wanted_ = 0;  // outlier elements; in kRefine and kTies: those still to be found in the bin, at the threshold
  uint64_t columns_wanted_ = 0;
  bool has_range_ = false;
  uint32_t bin_ = 0;  // of the k-th largest magnitude
  std::vector<uint64_t> histogram_;
  std::vector<double> norms_;  // squares of the columns' L2 norms
  ClipSearch search_;
  std::vector<uint32_t> columns_, non_finite_, merged_;  // scratch of one row
  std::vector<float> kept_;
};

}  // namespace ingot

// How far the values of two tensors are apart.
#pragma once

#include <cstdint>

#include "format/status.h"
#include "runtime/progress.h"
#include "tools/any_source.h"

namespace ingot {

// Sums over pairs of elements (a, b). A plain value.
struct Comparison {
  double sum_squares_a = 0;      // of the pairs that are finite
  double sum_squares_error = 0;  // of a - b
  double max_error = 0;          // of |a - b|
  uint64_t differing = 0;        // pairs that are not equal; NaN equals NaN, -0 equals 0
  uint64_t incomparable = 0;     // those of them where a or b is infinite or NaN; not in the sums

  bool identical() const { return differing == 0; }
  double relative_error() const;  // ||a - b|| / ||a||; infinite if a is zero and b is not
  double sqnr_db() const;         // infinite where there is no error
  void Add(const Comparison& other);
};

// Compares two tensors of the same shape: floating ones by value, in f64 (so F64 is exact), others, of the same dtype,
// by their bytes, where only `differing` counts. Blocks are compared in parallel and summed in their order: the result
// does not depend on the number of threads. Errors: what reading gives, kInterrupted.
Result<Comparison> Compare(const TensorInfo& info_a, const TensorValues& a, const TensorInfo& info_b,
                           const TensorValues& b, const ProgressFn& progress);

}  // namespace ingot

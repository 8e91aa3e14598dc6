// What a product with few rows of activations, in integers or in f32, and one of integers with many need to know of the
// weights.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "kernels/matrix.h"
#include "kernels/product.h"

namespace ingot {

// Immutable. Does not own the matrix. Thread-safe.
struct IntegerWeights {
  const EncodedMatrix* matrix = nullptr;
  MatrixSlice slice;
  uint64_t group_cols = 0;  // the slice's columns where it lies in one group
  bool varies = false;      // zero-points do: their array is used, else only `z`
  bool has_o = false;
  int z = 0;
  float book_scale = 1.0f;  // codebook entry = book_scale * (byte - 128), about
  alignas(64) std::array<uint8_t, 16> book{};

  // Nothing where integers cannot stand for the weights within the precision's bound, or the slice does not begin with
  // a unit and a group.
  static std::optional<IntegerWeights> Make(const EncodedMatrix& matrix, const MatrixSlice& slice, Precision precision);
};

}  // namespace ingot

// Products with encoded matrices: Y = X W^T, W as it lies in its planes. The error bounds are those of runtime/ingot.h,
// "products".
#pragma once

#include <cstdint>
#include <functional>

#include "format/bytes.h"
#include "format/dtype.h"
#include "kernels/matrix.h"
#include "kernels/matrix_slice.h"

namespace ingot {

enum class Precision : uint8_t { kF32 = 0, kInt16 = 1, kInt8 = 2, kLlmInt8 = 3 };

// The activations and the result; neither is owned. Row n of x holds slice.columns values at x + n * x_stride (in
// elements); value (n, r) of the result goes to y[n * y_stride + r], r counted from slice.row. y must not overlap x.
struct Product {
  const float* x = nullptr;
  uint64_t x_rows = 0;
  uint64_t x_stride = 0;
  float* y = nullptr;
  uint64_t y_stride = 0;
  Precision precision = Precision::kF32;
  float threshold = 6.0f;  // of kLlmInt8
  bool add = false;        // y += instead of y =
};

// Multiplies with a slice of the matrix's own view, which must lie in it. Runs on the threads of the caller's TBB
// arena. Thread-safe. Reads the rows of the slice's row range only (all of their columns where a permutation is).
void Multiply(const EncodedMatrix& w, const MatrixSlice& slice, const Product& product);

// The same with a matrix of `columns` columns whose rows lie one after the other as plain floats of a type that
// WidenToF32 knows; `weights` begins with row 0 and may lie at any address. Always in f32.
void MultiplyRaw(const std::byte* weights, DType type, uint64_t columns, const MatrixSlice& slice,
                 const Product& product);

// The same with rows that `decode(first, count, out)` writes as f32, count rows of slice.columns values each; rows are
// counted from slice.row. Called from several threads at once. For matrices whose view is not that of the tensor.
using RowDecoder = std::function<void(uint64_t first, uint64_t count, float* out)>;
void MultiplyDecoded(const RowDecoder& decode, const MatrixSlice& slice, const Product& product);

}  // namespace ingot

#include "kernels/product.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <vector>

#include "kernels/widen.h"

namespace ingot {
namespace {

constexpr uint64_t kRowsAtOnce = 16;

void Accumulate(const float* w, uint64_t rows, const MatrixSlice& slice, uint64_t first, const Product& p) {
  for (uint64_t n = 0; n < p.x_rows; ++n) {
    const float* x = p.x + n * p.x_stride;
    for (uint64_t r = 0; r < rows; ++r) {
      float sum = 0.0f;
      for (uint64_t c = 0; c < slice.columns; ++c) sum += w[r * slice.columns + c] * x[c];
      float& y = p.y[n * p.y_stride + first + r];
      y = p.add ? y + sum : sum;
    }
  }
}

}  // namespace

void MultiplyDecoded(const RowDecoder& decode, const MatrixSlice& slice, const Product& product) {
  tbb::parallel_for(tbb::blocked_range<uint64_t>(0, slice.rows, kRowsAtOnce),
                    [&](const tbb::blocked_range<uint64_t>& range) {
                      std::vector<float> w(kRowsAtOnce * slice.columns);
                      for (uint64_t row = range.begin(); row < range.end(); row += kRowsAtOnce) {
                        const uint64_t rows = std::min(kRowsAtOnce, range.end() - row);
                        decode(row, rows, w.data());
                        Accumulate(w.data(), rows, slice, row, product);
                      }
                    });
}

void Multiply(const EncodedMatrix& w, const MatrixSlice& slice, const Product& product) {
  MultiplyDecoded(
      [&](uint64_t first, uint64_t count, float* out) {
        for (uint64_t r = 0; r < count; ++r)
          DecodeElements(w, (slice.row + first + r) * w.linear.cols + slice.column, slice.columns,
                         out + r * slice.columns);
      },
      slice, product);
}

void MultiplyRaw(const std::byte* weights, DType type, uint64_t columns, const MatrixSlice& slice,
                 const Product& product) {
  MultiplyDecoded(
      [&](uint64_t first, uint64_t count, float* out) {
        for (uint64_t r = 0; r < count; ++r)
          WidenToF32(type, weights + ((slice.row + first + r) * columns + slice.column) * InfoOf(type).size,
                     slice.columns, out + r * slice.columns);
      },
      slice, product);
}

}  // namespace ingot

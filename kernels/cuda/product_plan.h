// How Y = X W^T is made on a device: kernels with their parameters, one after the other. Plain C++, the same for CUDA
// and for the executor of the tests. Thread-safe: values only.
//
// An element of Y differs from the exact sum over the C columns of the slice of w x, w without the roundings of
// arithmetic and result type, by at most e plus what stands below, where x' = x t, M = sum of (|s| (|m| + |z|) + |o|)
// |x'| + sum of |h x|, B = sum of |s| max |m| |x'|, e = (C + 64) 2^-24 M for the sums, which are made in f32:
//   codebooks, on tensor cores      entries are rounded to the type of x: 2^-10 B (f16), 2^-7 B (bf16)
//   t that is an array              x' is the sum of two values of the type of x: 2^-20 M (f16), 2^-15 M (bf16)
//   raw F64                         weights are rounded to f32: 2^-24 M
//   kInt8, kLlmInt8                 x' is rounded to 8 bits by its row's largest magnitude a: 2^-7.9 a N, N = sum of
//                                   |s| (|m| + |z|) + |o|; kLlmInt8: a of what does not exceed the threshold
// Each rounding that an arithmetic or result type asks for and that is skipped: as in runtime/ingot.h. x must be
// finite, with an f16 x also x' as an f16; x' below 2^-24 may be lost, so e is at least 2^-24 N there. Of a permuted
// matrix every column is read: weights outside the slice must be finite, too. Raw weights (|s| |m| stands for |w|) are
// multiplied as they are, whatever the precision.
#pragma once

#include <cstdint>
#include <vector>

#include "format/dtype.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/product_params.h"

namespace ingot::cuda {

enum class ProductPrecision : uint8_t { kNative = 0, kInt8 = 2, kLlmInt8 = 3 };

struct ProductRequest {
  MatrixSlice slice;        // of the view, which it must lie in: the weights that take part
  const void* x = nullptr;  // row n: slice.columns values from x + n * x_stride elements on, logical columns
  DType x_type = DType::kF16;
  uint64_t x_rows = 1, x_stride = 0;
  float* y = nullptr;  // (n, r) at y[n * y_stride + r], r counted from slice.row
  uint64_t y_stride = 0;
  ProductPrecision precision = ProductPrecision::kNative;
  float threshold = 6.0f;   // of kLlmInt8
  bool add = false;         // y += instead of y =
  void* scratch = nullptr;  // ProductScratchBytes, aligned to 256
};

enum class ProductKernel : uint8_t { kFindLarge, kListLarge, kFindScales, kArrange, kSumGroups, kTiles, kFinish, kAny };

// One launch: of `arrange` up to kSumGroups, of `product` from kTiles on.
struct ProductStep {
  ProductKernel kernel;
  Arrangement arrangement = Arrangement::kF16;
  int bits = 8;
  bool book = false;
  uint32_t tiles = 1;  // of 8 rows of activations
  Groups groups = Groups::kAny;
  uint32_t grid = 1, block = kProductThreads, shared_bytes = 0;
  ArrangeParams arrange;
  ProductParams product;
};

// x and y must not overlap; their rows are aligned to their elements. No row of activations: no steps.
std::vector<ProductStep> PlanProduct(const MatrixView& matrix, const ProductRequest& request,
                                     const DeviceLimits& limits);
uint64_t ProductScratchBytes(const MatrixView& matrix, const ProductRequest& request, const DeviceLimits& limits);

}  // namespace ingot::cuda

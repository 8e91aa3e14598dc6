// How one tensor is to be stored: the outcome of a recipe rule, the input of the quantizers. A plain value.
#pragma once

#include <cstdint>

#include "format/dtype.h"

namespace ingot {

enum class MethodKind : uint8_t {
  kKeep,    // raw, in the source's dtype
  kLinear,  // codes on a uniform grid
  kNf4,     // codes into the 16-entry NormalFloat codebook, scale = absmax
  kFp4,     // codes into the 16-entry E2M1-derived codebook of bitsandbytes, scale = absmax
};

enum class ZeroPointKind : uint8_t { kSymmetric, kInteger, kFloat };

enum class OutlierKind : uint8_t { kUnstructured, kColumns };

struct Method {
  static constexpr uint64_t kPerChannel = 0;          // one group per row
  static constexpr uint64_t kPerTensor = UINT64_MAX;  // one group for the whole tensor

  MethodKind kind = MethodKind::kKeep;
  int bits = 4;                                        // 1..8; 4 for the codebooks
  uint64_t group_size = 128;                           // columns per group, or one of the two above
  ZeroPointKind zero_point = ZeroPointKind::kInteger;  // ignored by the codebooks
  DType scale_dtype = DType::kF16;                     // kF32, kF16 or kBF16; also of a float zero-point
  bool mse_clip = false;                               // search the clipping range with the least squared error
  double outlier_ratio = 0.0;                          // of the tensor's elements (or columns); 0 <= ratio < 1
  OutlierKind outlier_kind = OutlierKind::kUnstructured;

  friend bool operator==(const Method&, const Method&) = default;
};

}  // namespace ingot

// The rows and columns of a matrix that take part. A plain value.
#pragma once

#include <cstdint>

namespace ingot {

struct MatrixSlice {
  uint64_t row = 0;
  uint64_t rows = 0;
  uint64_t column = 0;
  uint64_t columns = 0;
};

}  // namespace ingot

// A matrix on the device as kernels see it, a linear encoding or a raw one: addresses of its planes, and everything
// that the planes alone do not say. A plain value, passed to kernels by value; made and checked on the host. Owns
// nothing.
#pragma once

#include <cstdint>
#include <functional>

#include "format/bytes.h"

namespace ingot {
struct EncodedMatrix;
}

namespace ingot::cuda {

inline constexpr uint32_t kWarp = 32;

// The numbers of DType, OperandForm and OutlierForm. Those after kBF16: of raw matrices alone.
enum Type : uint8_t { kF32 = 0, kF16 = 1, kBF16 = 2, kF64 = 3, kF8E4M3 = 4, kF8E5M2 = 5 };
enum Form : uint8_t { kAbsent = 0, kConstant = 1, kArray = 2, kNested = 3 };
enum Outliers : uint8_t { kNone = 0, kUnstructured = 1, kColumns = 2 };
enum OperandNumber { kScale = 0, kZeroPoint = 1, kOffset = 2 };

// Division by a number that is the same for all threads.
struct Divider {
  uint64_t divisor = 1;
  uint64_t reciprocal = ~uint64_t{0};  // (2^64 - 1) / divisor

  static Divider By(uint64_t divisor) { return {divisor, ~uint64_t{0} / divisor}; }
};

struct OperandView {
  const void* array = nullptr;
  float constant = 0.0f;
  Form form = kAbsent;
  Type type = kF32;  // of the array
};

// What the root and nested encodings have in common.
struct NodeView {
  const void* codes[3] = {};       // low field first
  const void* codebook = nullptr;  // null: there is none
  OperandView operands[3];         // s, z, o
  Divider columns, group_rows, group_columns;
  uint64_t groups_across = 1;
  uint8_t bits = 8;
  Type arithmetic = kF32;
};

struct MatrixView {
  NodeView root;
  NodeView nested[3];  // of s, z, o, where nested
  uint64_t rows = 0, columns = 0;
  uint64_t row_units = 0;  // units of 64 columns from one row of codes to the next: fewer than a row has, if only a
                           // slice of columns is on the device
  // A raw matrix has elements of `raw_type` in the place of the low field of codes, `raw_stride` of them from one row
  // to the next, and nothing else; of the root's members bits (of an element) and groups (one a row) count.
  bool raw = false;
  Type raw_type = kF32;
  uint64_t raw_stride = 0;
  Type result = kF32;
  OperandView t;
  const void* stored_column = nullptr;  // u32 of each logical column; null: no permutation
  Outliers outliers = kNone;
  Type outlier_type = kF32;
  uint8_t outlier_column_bytes = 2;
  uint64_t outlier_count = 0;
  const void *outlier_rows = nullptr, *outlier_columns = nullptr, *outlier_values = nullptr;
};

// Where the copy of a plane (or of EncodedMatrix::stored_column) lies on the device. Planes are as long there, and
// begin at multiples of 64 bytes.
using DeviceAddress = std::function<const void*(ByteSpan plane)>;

}  // namespace ingot::cuda

// A linear encoding whose planes are in memory: what every decoding kernel works on.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "format/bytes.h"
#include "format/encoding.h"
#include "format/packing.h"
#include "format/status.h"

namespace ingot {

// Where the fields of some row are, low field first.
using FieldRows = std::array<const std::byte*, kMaxFields>;

// The planes of one linear encoding and its children. Does not own the bytes: they must outlive it and must have passed
// the validation pass, the content rules of permutation and outliers included. Immutable; thread-safe.
struct EncodedMatrix {
  Linear linear;
  bool nested = false;                     // its codes are packed as one row
  std::array<ByteSpan, kMaxFields> codes;  // one for each field, low field first
  ByteSpan codebook;
  ByteSpan s, z, o, t;  // operand arrays, empty where the operand is no array
  ByteSpan permutation;
  ByteSpan outlier_rows, outlier_columns, outlier_values;
  std::vector<EncodedMatrix> children;  // of s, z, o, where nested, in this order
  std::vector<uint32_t> stored_column;  // with a permutation: logical column -> stored column

  // Assigns planes in the order of PlanesOf(linear, nested) and inverts the permutation.
  static EncodedMatrix Make(const Linear& linear, bool nested, const std::vector<ByteSpan>& planes,
                            std::vector<EncodedMatrix> children);

  // Operand 0, 1, 2: s, z, o; its plane, if it is an array; its matrix, if it is nested.
  const Operand& operand(int i) const { return i == 0 ? linear.s : i == 1 ? linear.z : linear.o; }
  ByteSpan operand_array(int i) const { return i == 0 ? s : i == 1 ? z : o; }
  const EncodedMatrix& nested_operand(int i) const;
  // Where each field of a root's row has the unit that begins with column `column`.
  FieldRows fields_at(uint64_t row, uint64_t column) const;
};

// Decodes elements [first, first + count) of the view in row-major order to f32: the value of the formula, rounded once
// to the result type (spec/ENCODINGS.md, section 2). The range must lie in the view. Thread-safe.
void DecodeElements(const EncodedMatrix& matrix, uint64_t first, uint64_t count, float* out);

namespace reference {
// The same, one element at a time, in the words of the spec. It stays: every faster kernel is tested against it.
void DecodeElements(const EncodedMatrix& matrix, uint64_t first, uint64_t count, float* out);

// The stored codes [first, first + count) of the flat order of rows and STORED columns.
void UnpackCodes(const EncodedMatrix& matrix, uint64_t first, uint64_t count, uint8_t* out);
// Adds the outliers of `row` that lie in columns [begin, end) to out[0 .. end - begin), with the encoding's rounding.
void AddOutliers(const EncodedMatrix& matrix, uint64_t row, uint64_t begin, uint64_t end, float* out);
// The column of outlier `i`.
uint64_t OutlierColumn(const EncodedMatrix& matrix, uint64_t i);
// Element i of an operand array of type f32, f16 or bf16, widened.
float LoadFloat(ByteSpan array, DType type, uint64_t i);
// The value of operand s, z or o of group `group` (row-major number); `operand` 0, 1, 2. Absent ones give 1, 0, 0.
float GroupOperand(const EncodedMatrix& matrix, int operand, uint64_t group);
}  // namespace reference

}  // namespace ingot

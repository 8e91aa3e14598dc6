// What an encoding record means (spec/ENCODINGS.md): the payload of a linear encoding, and the planes that it asks for.
// Plain values; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/bytes.h"
#include "format/dtype.h"

namespace ingot {

enum class OperandForm : uint8_t { kAbsent = 0, kConstant = 1, kArray = 2, kNested = 3 };

// One of s, z, o, t.
struct Operand {
  OperandForm form = OperandForm::kAbsent;
  DType type = DType::kF32;  // of an array: kF32, kF16 or kBF16
  float constant = 0.0f;

  static Operand Constant(float value) { return {OperandForm::kConstant, DType::kF32, value}; }
  static Operand Array(DType type) { return {OperandForm::kArray, type, 0.0f}; }
  static Operand Nested() { return {OperandForm::kNested, DType::kF32, 0.0f}; }
};

enum class OutlierForm : uint8_t { kNone = 0, kUnstructured = 1, kColumns = 2 };

inline constexpr size_t kLinearPayloadSize = 80;

// w = (s[g] * (m(q[r,c]) - z[g]) - o[g]) * t[c] + h[r,c] over a view of `rows` by `cols`.
struct Linear {
  int bits = 8;
  DType arithmetic = DType::kF32;  // kF32, kF16 or kBF16, as all types here
  DType result = DType::kF32;
  bool codebook = false;
  bool permutation = false;
  OutlierForm outliers = OutlierForm::kNone;
  DType outlier_type = DType::kF32;
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint64_t group_rows = 1;
  uint64_t group_cols = 1;
  uint64_t outlier_count = 0;  // values (unstructured) or columns
  Operand s, z, o, t;

  uint64_t groups_down() const { return (rows - 1) / group_rows + 1; }
  uint64_t groups_across() const { return (cols - 1) / group_cols + 1; }
  uint64_t group_count() const { return groups_down() * groups_across(); }
  int child_count() const;  // nested operands
  // Bytes of an outlier's column number: 2 or 4.
  int column_bytes() const { return cols <= 65536 ? 2 : 4; }
};

// The 80 bytes of the payload.
std::vector<std::byte> EncodeLinear(const Linear& linear);
// Reads the first 80 bytes of `payload` as they are, without a check.
Linear DecodeLinear(ByteSpan payload);

struct Foreign {
  uint32_t block_bytes = 0;
  uint32_t block_elements = 0;
  uint64_t elements = 0;
  std::string_view name;  // of the block type; lives as long as the payload it was read from
};
inline constexpr size_t kForeignPayloadSize = 16;  // without the name
std::vector<std::byte> EncodeForeign(const Foreign& foreign);
Foreign DecodeForeign(ByteSpan payload);

enum class PlaneRole : uint8_t {
  kRaw,
  kCodes,
  kCodebook,
  kScales,
  kZeroPoints,
  kOffsets,
  kColumnScales,
  kPermutation,
  kOutlierRows,
  kOutlierColumns,
  kOutlierValues,
  kForeignBlocks,
};
// "codes", "scales", ... as messages and listings name it.
std::string_view NameOf(PlaneRole role);

// One plane that an encoding asks for.
struct PlaneSpec {
  PlaneRole role;
  uint64_t size;            // logical bytes
  uint8_t element_size;     // bytes of one element; 1 for codes
  int field_width = 0;      // of codes: 8, 4, 2 or 1
  DType type = DType::kU8;  // of operand arrays and outlier values
};

// The planes of a linear encoding, in the order of the file. `nested`: its codes are packed as one row. The sizes must
// be within the limits of R-LIN-2 and R-LIN-8, so that nothing overflows.
std::vector<PlaneSpec> PlanesOf(const Linear& linear, bool nested);

// The group shape, bits and operands in a few words: "linear 4-bit g128 s f16 z 4-bit".
std::string Describe(const Linear& linear, const std::vector<Linear>& children);

}  // namespace ingot

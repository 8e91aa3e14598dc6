// One part of a tensor on its way into the file: what its planes will be, and what a block of rows adds to them. What
// the quantizers and the importers make, and the writer takes. Plain values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "convert/io_bytes.h"
#include "format/bytes.h"
#include "format/encoding.h"
#include "format/index.h"
#include "format/packing.h"

namespace ingot {

inline constexpr size_t kGroupOperands = 3;  // s, z, o, in this order

// s, z or o by its number.
inline Operand& GroupOperand(Linear& linear, size_t i) { return i == 0 ? linear.s : i == 1 ? linear.z : linear.o; }

// The operand that has one value everywhere: absent if the value is neutral (R-LIN-5).
Operand ConstantOperand(float value, float neutral);

struct EncodingPlan {
  Linear linear;                // operands that turn out to be the same everywhere become constants in the end
  std::vector<float> codebook;  // of linear.codebook
};

struct PartPlan : EncodingPlan {
  std::vector<std::byte> column_scales;                            // the array of t, if it is one
  std::vector<uint32_t> permutation;                               // of linear.permutation
  std::vector<uint32_t> outlier_columns;                           // of whole outlier columns
  std::array<std::optional<EncodingPlan>, kGroupOperands> nested;  // s, z, o, where they are nested
};

// An encoding that is written as it is: its record, and planes of any bytes.
struct VerbatimEncoding {
  struct Plane {
    uint64_t size;
    int element_size;  // as compression sees it
  };
  uint16_t kind;  // an EncodingKind, or one that is not known
  uint8_t flags;
  std::vector<std::byte> payload;
  std::vector<Plane> planes;
  uint32_t children = 0;  // nested ones, directly before it in the list
};

// A tensor that is written as it is.
struct VerbatimPlan {
  struct Part {
    uint64_t extent;
    uint32_t encoding;  // number in the list
  };
  std::vector<VerbatimEncoding> encodings;
  std::vector<Part> parts;
  uint8_t axis = 0;

  // One part, of raw elements or blocks of another system.
  static VerbatimPlan Plain(EncodingKind kind, std::vector<std::byte> payload, VerbatimEncoding::Plane plane,
                            const std::vector<uint64_t>& shape);
};

// A tensor of parts that lie along its last dimension if there is more than one; or, without parts, one that is written
// as it is.
struct TensorPlan {
  std::vector<PartPlan> parts;
  VerbatimPlan verbatim;
};

// What a block adds to an operand over the groups: the elements of its groups, in row-major order.
struct OperandBlock {
  std::vector<std::byte> array;                               // of an array, as stored
  std::vector<uint8_t> codes;                                 // of a nested one, a byte each
  std::array<std::vector<std::byte>, kGroupOperands> arrays;  // of the nested one's own s, z, o

  void Clear();
};

struct EncodedPart {
  std::array<IoBytes, kMaxFields> codes;  // packed
  std::array<OperandBlock, kGroupOperands> operands;
  std::vector<uint64_t> outliers_per_row;  // unstructured
  std::vector<std::byte> outlier_columns;
  std::vector<std::byte> outlier_values;
  IoBytes bytes;  // of a plan without parts: of all its planes, one after the other

  // Keeps the memory.
  void Clear();
};

}  // namespace ingot

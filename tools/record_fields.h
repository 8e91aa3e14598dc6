// The fields of every record of the format, as a table for dumps (spec/FORMAT.md, spec/ENCODINGS.md).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "format/bytes.h"
#include "format/layout.h"

namespace ingot {

// How the bytes of a field are explained.
enum class FieldForm : uint8_t {
  kNumber,
  kBits,      // hexadecimal
  kHash128,   // an XXH3-128, the low half first
  kHash64,    // an XXH3-64
  kText,      // the bytes speak for themselves
  kReserved,  // zero
  kRecord,    // a number of a record, 0xFFFFFFFF for none
  kTable,     // a table's number
  kDType,     // of a tensor
  kRounding,  // 0 f32, 1 f16, 2 bf16
  kKind,      // of an encoding
  kFlags,     // of an encoding
  kMethod,    // of a frame
  kMetadata,  // type of a value
  kForm,      // of an operand
  kOutliers,  // form of the outliers
  kConstant,  // the bits of an f32
};

struct Field {
  const char* name;
  uint8_t size;
  FieldForm form = FieldForm::kNumber;
};

std::span<const Field> SlotFields();               // the first 80 bytes of a header slot
std::span<const Field> DirectoryFields();          // an entry of the directory
std::span<const Field> RecordFields(Table table);  // a record of a table; none for the heap
std::span<const Field> LinearFields();             // the payload of a linear encoding
std::span<const Field> ForeignFields();            // that of a foreign one, without its name

// What the bytes of a field mean: "3, U16", "none", "xxh3:...". May be empty.
std::string Explain(const Field& field, ByteSpan bytes);
// A field of up to 8 bytes as a number.
uint64_t NumberIn(ByteSpan bytes);

}  // namespace ingot

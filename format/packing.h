// The packing rule of codes (spec/ENCODINGS.md, "Packing"), in its scalar meaning. The fast version is kernels/pack.h.
//
// A code of `bits` bits is split from the low end into fields of 8, 4, 2 or 1 bits; each field is a plane of its own. A
// plane row is a sequence of units of 64 columns. Within a unit, the field of width f of element j lies in byte
// j mod 8f, at bits f * (j div 8f) and up. A last unit that is not full is padded with zero codes.
// Thread-safe: pure functions on the caller's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ingot {

inline constexpr uint64_t kPackUnit = 64;  // columns per unit
inline constexpr int kMaxFields = 3;       // 7 bits: 4 + 2 + 1

// The widths of the fields of a code, from its low end: 1:(1) 2:(2) 3:(2,1) 4:(4) 5:(4,1) 6:(4,2) 7:(4,2,1) 8:(8).
// Empty for `bits` outside 1..8. Valid for ever.
std::span<const uint8_t> FieldWidths(int bits);

// The bytes of one plane row: ceil(cols / 64) * 8 * field_width. No overflow for cols < 2^58.
constexpr uint64_t PackedRowBytes(uint64_t cols, int field_width) {
  return (cols / kPackUnit + (cols % kPackUnit != 0)) * 8 * static_cast<uint64_t>(field_width);
}

// Packs bits [shift, shift + field_width) of each of `cols` codes into the PackedRowBytes(cols, field_width) bytes at
// `row`, all of which are written. field_width is 1, 2, 4 or 8.
void PackFieldScalar(const uint8_t* codes, uint64_t cols, int field_width, int shift, std::byte* row);

// The reverse: ORs the field of each element, shifted up by `shift`, into codes[0..cols).
void UnpackFieldScalar(const std::byte* row, uint64_t cols, int field_width, int shift, uint8_t* codes);

// Packs one row of codes into its planes: field_rows[i] is the row of field i, in the order of FieldWidths(bits). Bits
// of a code above `bits` are dropped. Does nothing for a `bits` outside 1..8.
void PackRowScalar(const uint8_t* codes, uint64_t cols, int bits, std::span<std::byte* const> field_rows);

// The reverse: writes cols codes.
void UnpackRowScalar(std::span<const std::byte* const> field_rows, uint64_t cols, int bits, uint8_t* codes);

}  // namespace ingot

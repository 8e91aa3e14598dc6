// Packing and unpacking of rows of codes, in SIMD. The bytes are those of format/packing.h, on every target.
// Thread-safe: pure functions on the caller's memory; no alignment is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/packing.h"

namespace ingot {

// Packs one row of `cols` codes, each below 2^bits (higher bits are dropped), into its planes: field_rows[i] is the row
// of field i of FieldWidths(bits), PackedRowBytes(cols, width) bytes, all of which are written. Does nothing for a
// `bits` outside 1..8.
void PackRow(const uint8_t* codes, uint64_t cols, int bits, std::span<std::byte* const> field_rows);

// The reverse: writes cols codes and nothing beyond; reads whole plane rows.
void UnpackRow(std::span<const std::byte* const> field_rows, uint64_t cols, int bits, uint8_t* codes);

}  // namespace ingot

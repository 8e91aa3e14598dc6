// The 4-bit microscaling layouts: E2M1 codes, two a byte, low nibble first, with 8-bit scales of their own.
#pragma once

#include <string>
#include <vector>

#include "convert/import/checkpoint.h"
#include "convert/import/grouped_import.h"

namespace ingot {

// W = RN_BF16(e2m1 * scale_book[scale]); `codes` has rows of cols / 2 bytes, `scales` one byte a group of `group`
// columns. Rows, cols: of the view, cols a multiple of `group`, which is even.
std::shared_ptr<const EncodedTensor> MakeMicroscaling(const Source& source, std::string description,
                                                      const SourceTensor& codes, const SourceTensor& scales,
                                                      uint64_t rows, uint64_t cols, uint64_t group,
                                                      const std::vector<float>& scale_book);

}  // namespace ingot

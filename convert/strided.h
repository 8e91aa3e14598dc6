// Reads tensors whose elements do not lie in row-major order: transposed, cut out of a larger one, repeated.
#pragma once

#include <cstdint>
#include <span>

#include "convert/source.h"
#include "format/status.h"

namespace ingot {

// Elements [first, first + count) of a tensor with strides, row-major, into `out`. Each element that is wanted is read
// about once: pieces that lie close together in the file are read together, a mebibyte at most, the rest one by one. A
// range of whole rows takes the fewest reads. Thread-safe. Errors: what source.Read returns.
Status ReadStrided(const Source& source, const SourceTensor& tensor, uint64_t first, uint64_t count,
                   std::span<std::byte> out);

}  // namespace ingot

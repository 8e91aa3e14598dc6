// What several functions of the C interface take: slices, buffers, operands of products. Private to runtime/abi/.
#pragma once

#include "runtime/abi/abi.h"

namespace ingot::abi {

// The slice of `limit` that `theirs` (NULL: all of it) means; `name` is what messages begin with.
tl::expected<MatrixSlice, Failure> SliceWithin(const MatrixSlice& limit, std::string_view name,
                                               const ingot_slice* theirs);
// Of a tensor.
tl::expected<MatrixSlice, Failure> SliceOf(const TensorView& view, const ingot_slice* theirs);

// Whether a slice of elements of `size` bytes fits into a buffer; sets the stride where it was left out.
Outcome CheckBuffer(const MatrixSlice& slice, uint64_t size, uint64_t alignment, const void* out, size_t out_bytes,
                    uint64_t& stride);

// Whether `rows` rows of `columns` elements of `size` bytes can be in memory at all, and where they should.
Outcome CheckOperand(const char* name, const void* at, uint64_t rows, uint64_t columns, uint64_t stride, uint64_t size);

}  // namespace ingot::abi

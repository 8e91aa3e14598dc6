// Products with few rows of activations, at the speed of memory.
#pragma once

#include "kernels/integer_weights.h"
#include "kernels/product.h"

namespace ingot {

// y = or += x W^T in 8 bits, or 16 if the precision is kInt16; x is finite and by stored columns, of the weights'
// slice. False, with nothing written, if the SIMD target or the group size does not allow it.
bool MultiplyFewIntegers(const IntegerWeights& weights, const Product& product);

// The same in f32, whatever the precision: values are made in registers, but for their scales. False for 1 and 7 bits,
// too.
bool MultiplyFewF32(const IntegerWeights& weights, const Product& product);

}  // namespace ingot

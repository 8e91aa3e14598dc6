// The kernel of a step of a product. Included by the .cu files, a file for each type that tensor cores multiply.
#pragma once

#include "kernels/cuda/product_plan.h"

namespace ingot::cuda {

using ArrangeFunction = void (*)(ArrangeParams);
using ProductFunction = void (*)(ProductParams);

// Up to kSumGroups, and from kTiles on. Null: no plan asks for it.
ArrangeFunction ArrangeFunctionFor(const ProductStep& step);
ProductFunction ProductFunctionFor(const ProductStep& step);

ProductFunction F16TilesFor(const ProductStep& step);
ProductFunction BF16TilesFor(const ProductStep& step);
ProductFunction Int8TilesFor(const ProductStep& step);

}  // namespace ingot::cuda

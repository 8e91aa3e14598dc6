// Products on tensor cores with activations in 8 bits.
#include "kernels/cuda/product_tiles_kernels.cuh"

namespace ingot::cuda {

ProductFunction Int8TilesFor(const ProductStep& step) { return step.book ? nullptr : TilesFor<Int8Math, false>(step); }

}  // namespace ingot::cuda

// Products on tensor cores with activations in bf16.
#include "kernels/cuda/product_tiles_kernels.cuh"

namespace ingot::cuda {

ProductFunction BF16TilesFor(const ProductStep& step) {
  return step.book ? TilesFor<BF16Math, true>(step) : TilesFor<BF16Math, false>(step);
}

}  // namespace ingot::cuda

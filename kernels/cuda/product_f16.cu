// Products on tensor cores with activations in f16.
#include "kernels/cuda/product_tiles_kernels.cuh"

namespace ingot::cuda {

ProductFunction F16TilesFor(const ProductStep& step) {
  return step.book ? TilesFor<F16Math, true>(step) : TilesFor<F16Math, false>(step);
}

}  // namespace ingot::cuda

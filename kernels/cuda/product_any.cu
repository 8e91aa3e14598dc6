// What goes before and after products on tensor cores, and products of any encoding.
#include "kernels/cuda/product_any.cuh"

#include "kernels/cuda/product_kernels.h"

namespace ingot::cuda {
namespace {

template <int kBits>
ArrangeFunction ArrangeOf(ProductKernel kernel) {
  return kernel == ProductKernel::kArrange ? &Arrange<kBits> : &SumGroups<kBits>;
}

}  // namespace

ArrangeFunction ArrangeFunctionFor(const ProductStep& step) {
  if (step.kernel == ProductKernel::kFindLarge) return &FindLargeColumns;
  if (step.kernel == ProductKernel::kListLarge) return &ListLargeColumns;
  if (step.kernel == ProductKernel::kFindScales) return &FindScales;
  if (step.bits < 4 || step.bits == 16) return ArrangeOf<2>(step.kernel);  // alike
  return step.bits == 8 ? ArrangeOf<8>(step.kernel) : ArrangeOf<4>(step.kernel);
}

ProductFunction ProductFunctionFor(const ProductStep& step) {
  if (step.kernel == ProductKernel::kAny) return &ProductAny;
  if (step.kernel == ProductKernel::kFinish) return &FinishProduct;
  if (step.arrangement == Arrangement::kF16) return F16TilesFor(step);
  if (step.arrangement == Arrangement::kBF16) return BF16TilesFor(step);
  return Int8TilesFor(step);
}

}  // namespace ingot::cuda

// The kernels that decode to bf16.
#include "kernels/cuda/decode_kernels.cuh"

namespace ingot::cuda {

DecodeFunction BF16FunctionFor(const DecodeStep& step) { return FunctionFor<BF16Out>(step); }

}  // namespace ingot::cuda

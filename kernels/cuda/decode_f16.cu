// The kernels that decode to f16.
#include "kernels/cuda/decode_kernels.cuh"

namespace ingot::cuda {

DecodeFunction F16FunctionFor(const DecodeStep& step) { return FunctionFor<F16Out>(step); }

}  // namespace ingot::cuda

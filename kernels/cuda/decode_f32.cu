// The kernels that decode to f32.
#include "kernels/cuda/decode_kernels.cuh"

namespace ingot::cuda {

DecodeFunction F32FunctionFor(const DecodeStep& step) { return FunctionFor<F32Out>(step); }

}  // namespace ingot::cuda

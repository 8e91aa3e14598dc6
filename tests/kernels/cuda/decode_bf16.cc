// The kernels that decode to bf16, for the executor.
#include "kernels/cuda/decode_bf16.cu"

// The kernels that decode to f16, for the executor.
#include "kernels/cuda/decode_f16.cu"

// The kernels that decode to f32, for the executor.
#include "kernels/cuda/decode_f32.cu"

// kernels/cuda/product_f16.cu for the executor.
#include "kernels/cuda/product_f16.cu"

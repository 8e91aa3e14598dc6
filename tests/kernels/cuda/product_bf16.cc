// kernels/cuda/product_bf16.cu for the executor.
#include "kernels/cuda/product_bf16.cu"

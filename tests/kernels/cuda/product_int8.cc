// kernels/cuda/product_int8.cu for the executor.
#include "kernels/cuda/product_int8.cu"

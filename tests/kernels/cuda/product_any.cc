// kernels/cuda/product_any.cu for the executor.
#include "kernels/cuda/product_any.cu"

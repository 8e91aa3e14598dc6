#include "tools/llama/cuda/kernels.cuh"

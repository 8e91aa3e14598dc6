#include "tools/bench/cuda/kernels.cuh"

// The engine's kernels for the executor.
#include "tools/llama/cuda/kernels.cuh"

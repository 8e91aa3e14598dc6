// The weights of a model on a GPU: as packed as in the file.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tools/llama/cuda/gpu.h"
#include "tools/llama/ingot_file.h"
#include "tools/llama/weights.h"

namespace llama {

using GpuTensor = std::shared_ptr<const ingot_device_tensor>;  // tied ones are one

// y = W x + b.
struct GpuLinear {
  GpuTensor weight;
  GpuArray<float> bias;  // empty: there is none
};

struct GpuLayer {
  GpuArray<float> attention_norm, mlp_norm;
  GpuLinear q, k, v, output, gate, up, down;
};

struct GpuWeights {
  GpuTensor embedding;
  std::vector<GpuLayer> layers;
  GpuArray<float> norm;
  GpuLinear head;
};

// Told of bytes done and bytes in all; false stops.
using UploadProgress = std::function<bool(uint64_t done, uint64_t total)>;

// Uploads all tensors, each chunk verified on its way as `file` was opened to; norms and biases are decoded. Throws
// Failure: a damaged tensor, one that kernels cannot compute with, too little memory, interrupted.
GpuWeights UploadWeights(Gpu& gpu, const IngotFile& file, const Weights& weights, const UploadProgress& progress);

}  // namespace llama

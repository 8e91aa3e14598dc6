// The forward pass on a GPU. Products with weights are the library's, from planes as they lie in the file; what stands
// between them is in kernel_params.h. Hidden states, sums, softmax and losses are f32; what goes into products and into
// the cache of keys and values is rounded to f16 or bf16.
#pragma once

#include <cstddef>
#include <memory>

#include "tools/llama/config.h"
#include "tools/llama/cuda/gpu.h"
#include "tools/llama/cuda/gpu_weights.h"
#include "tools/llama/cuda/kernel_params.h"
#include "tools/llama/engine.h"

namespace llama {

struct GpuEngineOptions {
  ingot_precision precision = INGOT_PRECISION_F32;  // not INT16
  gpu::Half half = gpu::Half::kF16;
  uint64_t capacity = 0;  // the most positions of a sequence
  uint64_t batch = 0;     // the most tokens of a call
};

// Owns the GPU and all of its memory. Each call enqueues its work and returns; Logits and Losses wait.
class GpuEngine : public Engine {
 public:
  // Uploads the weights. Throws Failure: what a GPU cannot do, too little memory, those of UploadWeights. Keeps a
  // reference to `config`, none to the file or its tensors.
  GpuEngine(std::unique_ptr<Gpu> gpu, const IngotFile& file, const Config& config, const Weights& weights,
            const GpuEngineOptions& options, const UploadProgress& progress);

  // Waits: no kernel may use memory that is gone.
  ~GpuEngine() override;

  void Run(std::span<const uint32_t> tokens, uint64_t position) override;
  void Project(uint64_t first, uint64_t count) override;
  std::span<const float> Logits() override;
  std::vector<double> Losses(uint64_t row, std::span<const uint32_t> targets) override;
  Place place() const override { return {gpu_->name(), gpu_->most_memory()}; }

 private:
  using Halves = GpuArray<uint16_t>;
  using Floats = GpuArray<float>;
  struct Cache {
    Halves keys, values;  // [kv_heads][capacity][head_dim]
  };

  // A product of `count` rows, but for its memory.
  ingot_device_product Product(uint64_t count) const;
  uint64_t ScratchBytes() const;
  // Y = X W^T + b for `count` rows; `add`: Y += X W^T + b.
  void Apply(const GpuLinear& linear, const uint16_t* x, uint64_t count, float* y, bool add = false);
  void Norm(const Floats& weight, uint64_t count);
  void RunAttention(const GpuLayer& layer, const Cache& cache, uint64_t position, uint64_t count);
  void RunMlp(const GpuLayer& layer, uint64_t count);
  // Into how many shares the positions are cut, so that the multiprocessors have work.
  uint32_t SplitsOf(uint64_t positions, uint64_t count) const;
  // `array` with at least `count` values. What it held before is lost.
  template <typename T>
  void Reserve(GpuArray<T>& array, uint64_t count);

  const Config& config_;
  const GpuEngineOptions options_;
  const std::unique_ptr<Gpu> gpu_;  // outlives what follows
  const gpu::Kernels& kernels_;
  const uint64_t multiprocessors_;
  GpuWeights weights_;
  Floats cosines_, sines_;     // [capacity][head_dim / 2]
  std::vector<Cache> caches_;  // one a layer
  // Activations of a batch, row by row, reused by every layer.
  Floats hidden_;                // [batch][width]
  Halves normed_;                // [batch][width]
  Floats q_, turned_, k_, v_;    // [batch][heads or kv_heads * head_dim]
  Halves attended_;              // [batch][heads * head_dim]
  Floats gate_, up_;             // [batch][inner]
  Halves gated_;                 // [batch][inner]
  Floats sums_, totals_;         // of shares of an attention
  GpuArray<std::byte> scratch_;  // of a product
  Floats logits_, losses_;
  GpuArray<uint32_t> targets_;
  uint64_t projected_ = 0;  // rows of logits
  std::vector<float> logits_out_;
};

}  // namespace llama

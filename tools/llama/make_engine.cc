#include "tools/llama/make_engine.h"

#include "tools/llama/cuda/gpu_engine.h"
#include "tools/llama/forward.h"
#include "tools/llama/process.h"

namespace llama {

std::unique_ptr<Engine> MakeEngine(const Options& options, const IngotFile& file, const Config& config,
                                   const Weights& weights, uint64_t capacity, uint64_t batch) {
  if (!options.gpu) return std::make_unique<CpuEngine>(config, weights, options.precision, capacity, batch);
  ProgressLine line(options.quiet);
  const auto progress = [&](uint64_t done, uint64_t total) {
    if (line.due()) line.Show(fmt::format("uploading weights: {} of {} MiB", done >> 20, total >> 20));
    return !StopRequested();
  };
  const gpu::Half half = options.activations == "bf16" ? gpu::Half::kBF16 : gpu::Half::kF16;
  return std::make_unique<GpuEngine>(OpenGpu(*options.gpu, options.threads), file, config, weights,
                                     GpuEngineOptions{options.precision, half, capacity, batch}, progress);
}

}  // namespace llama

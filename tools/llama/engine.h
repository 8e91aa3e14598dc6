// What evaluation needs of a forward pass, wherever it runs: forward.h has it on the CPU, cuda/gpu_engine.h on a GPU.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace llama {

// One sequence of tokens, run through the model batch by batch. Not thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;

  // Runs tokens at the positions from `position` on; what stands before them was run before. Position 0 begins anew.
  virtual void Run(std::span<const uint32_t> tokens, uint64_t position) = 0;
  // Computes the logits of tokens `first` .. `first + count` of the last Run, and keeps them.
  virtual void Project(uint64_t first, uint64_t count) = 0;
  // Those logits: [count][vocabulary]. Valid until the next call.
  virtual std::span<const float> Logits() = 0;
  // -ln p of each target: of target i by row `row + i` of those logits.
  virtual std::vector<double> Losses(uint64_t row, std::span<const uint32_t> targets) = 0;

  // What it runs on.
  struct Place {
    std::string name = "cpu";   // of a GPU: "NVIDIA H100 80GB HBM3"
    uint64_t memory_bytes = 0;  // of a GPU: the most that was in use at a time
  };
  virtual Place place() const { return {}; }
};

}  // namespace llama

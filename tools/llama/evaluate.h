// Perplexity over windows of tokens, and greedy continuation.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "tools/llama/engine.h"
#include "tools/llama/npy.h"

namespace llama {

// Tokens begin .. end are run as one sequence; those from `first_target` on are predicted, each from all before it in
// the window.
struct Window {
  uint64_t begin, end, first_target;
};

struct WindowOptions {
  uint64_t context = 0;
  uint64_t stride = 0;  // from the start of a window to the next one's
  bool tail = false;    // also the window that the text ends in
};
// The windows of a text. No token is predicted twice: where windows overlap, an earlier one did it.
std::vector<Window> TextWindows(uint64_t tokens, const WindowOptions& options);
// The rows of a 2-D array.
std::vector<Window> RowWindows(uint64_t rows, uint64_t length);

struct WindowLoss {
  double sum = 0;  // of -ln p(token), over the predicted ones
  uint64_t predicted = 0;
};

struct Evaluation {
  std::vector<WindowLoss> windows;
  uint64_t tokens = 0;  // that were run
  double seconds = 0;
  bool interrupted = false;

  WindowLoss total() const;
  double perplexity() const;  // exp of the mean loss of all predicted tokens
};

// Told of what is done after each batch; false stops.
using EvaluationProgress = std::function<bool(const Evaluation& so_far)>;

// `logits`, if there is one, gets all rows of the last window.
Evaluation Evaluate(Engine& engine, std::span<const uint32_t> tokens, const std::vector<Window>& windows,
                    uint64_t batch, FloatArrayFile* logits, const EvaluationProgress& progress);

struct Generation {
  std::vector<uint32_t> tokens;
  double prompt_seconds = 0;      // up to the first new token
  double generation_seconds = 0;  // for all others
  bool interrupted = false;
};

// `count` tokens after the prompt, each the likeliest one (the lowest id of several), also after an end of text.
Generation Generate(Engine& engine, std::span<const uint32_t> prompt, uint64_t count, uint64_t batch,
                    const std::function<bool(uint64_t done)>& progress);

}  // namespace llama

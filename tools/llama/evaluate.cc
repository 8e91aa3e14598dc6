#include "tools/llama/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace llama {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

uint32_t Likeliest(Engine& engine, uint64_t token) {
  engine.Project(token, 1);
  const std::span<const float> logits = engine.Logits();
  return static_cast<uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

std::vector<Window> TextWindows(uint64_t tokens, const WindowOptions& options) {
  std::vector<Window> windows;
  uint64_t predicted = 1;  // the first token has nothing to be predicted from
  for (uint64_t begin = 0; begin + 1 < tokens && predicted < tokens; begin += options.stride) {
    const uint64_t end = std::min(begin + options.context, tokens);
    // A text that is shorter than a window is one; otherwise what does not fill one is left out, unless asked for.
    if (end - begin < options.context && !windows.empty() && !options.tail) break;
    windows.push_back({begin, end, std::max(begin + 1, predicted)});
    predicted = end;
  }
  return windows;
}

std::vector<Window> RowWindows(uint64_t rows, uint64_t length) {
  std::vector<Window> windows;
  for (uint64_t row = 0; row < rows; ++row) windows.push_back({row * length, (row + 1) * length, row * length + 1});
  return windows;
}

WindowLoss Evaluation::total() const {
  WindowLoss all;
  for (const WindowLoss& window : windows) {
    all.sum += window.sum;
    all.predicted += window.predicted;
  }
  return all;
}

double Evaluation::perplexity() const { return std::exp(total().sum / static_cast<double>(total().predicted)); }

Evaluation Evaluate(Engine& engine, std::span<const uint32_t> tokens, const std::vector<Window>& windows,
                    uint64_t batch, FloatArrayFile* logits, const EvaluationProgress& progress) {
  Evaluation done;
  const auto start = Clock::now();
  for (const Window& window : windows) {
    const bool wanted = logits != nullptr && &window == &windows.back();
    done.windows.emplace_back();
    for (uint64_t begin = window.begin; begin < window.end; begin += batch) {
      const uint64_t end = std::min(begin + batch, window.end);
      engine.Run(tokens.subspan(begin, end - begin), begin - window.begin);
      // Token i predicts token i + 1. Tokens that only serve as context need no logits, nor does the last one.
      const uint64_t first = wanted ? begin : std::max(begin, window.first_target - 1);
      const uint64_t last = wanted ? end : std::min(end, window.end - 1);
      if (first < last) {
        engine.Project(first - begin, last - first);
        if (wanted) logits->Append(engine.Logits());
        const uint64_t from = std::max(first, window.first_target - 1), to = std::min(last, window.end - 1);
        if (from < to) {
          // In their order, so that the number of threads does not matter.
          for (const double loss : engine.Losses(from - first, tokens.subspan(from + 1, to - from)))
            done.windows.back().sum += loss;
          done.windows.back().predicted += to - from;
        }
      }
      done.tokens += end - begin;
      done.seconds = SecondsSince(start);
      done.interrupted = !progress(done);
      if (done.interrupted) return done;
    }
  }
  return done;
}

Generation Generate(Engine& engine, std::span<const uint32_t> prompt, uint64_t count, uint64_t batch,
                    const std::function<bool(uint64_t done)>& progress) {
  Generation result;
  auto start = Clock::now();
  for (uint64_t begin = 0; begin < prompt.size(); begin += batch) {
    const uint64_t size = std::min(batch, prompt.size() - begin);
    engine.Run(prompt.subspan(begin, size), begin);
    if (begin + size == prompt.size()) result.tokens.push_back(Likeliest(engine, size - 1));
    result.interrupted = !progress(begin + size);
    if (result.interrupted) return result;
  }
  result.prompt_seconds = SecondsSince(start);
  start = Clock::now();
  while (result.tokens.size() < count && !result.interrupted) {
    const uint64_t position = prompt.size() + result.tokens.size() - 1;
    engine.Run({&result.tokens.back(), 1}, position);
    result.tokens.push_back(Likeliest(engine, 0));
    result.interrupted = !progress(position + 1);
  }
  result.generation_seconds = SecondsSince(start);
  return result;
}

}  // namespace llama

#include "tools/llama/evaluate.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tools/llama/simd.h"

namespace llama {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// ln of the sum of e^x. The largest value is taken out first, so that nothing overflows.
LLAMA_CLONES double LogSumExp(const float* x, uint64_t count) {
  constexpr uint64_t kLanes = 16, kPiece = 1024;  // pieces are added up in double precision: vocabularies are large
  const float largest = *std::max_element(x, x + count);
  double sum = 0;
  for (uint64_t begin = 0; begin < count; begin += kPiece) {
    const uint64_t end = std::min(begin + kPiece, count);
    const uint64_t whole = begin + (end - begin) / kLanes * kLanes;
    float lanes[kLanes] = {};
    for (uint64_t i = begin; i < whole; i += kLanes) {
      for (uint64_t j = 0; j < kLanes; ++j) lanes[j] += Exp(x[i + j] - largest);
    }
    for (const float lane : lanes) sum += static_cast<double>(lane);
    for (uint64_t i = whole; i < end; ++i) sum += static_cast<double>(Exp(x[i] - largest));
  }
  return static_cast<double>(largest) + std::log(sum);
}

// The loss of predicting each target from its row of logits.
double Loss(std::span<const float> logits, std::span<const uint32_t> targets) {
  const uint64_t vocabulary = logits.size() / targets.size();
  std::vector<double> losses(targets.size());
  tbb::parallel_for(uint64_t{0}, uint64_t{targets.size()}, [&](uint64_t i) {
    const float* row = &logits[i * vocabulary];
    losses[i] = LogSumExp(row, vocabulary) - static_cast<double>(row[targets[i]]);
  });
  double sum = 0;  // in their order, so that the number of threads does not matter
  for (const double loss : losses) sum += loss;
  return sum;
}

uint32_t Likeliest(std::span<const float> logits) {
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
        auto rows = engine.Logits(first - begin, last - first);
        if (wanted) logits->Append(rows);
        const uint64_t vocabulary = rows.size() / (last - first);
        const uint64_t from = std::max(first, window.first_target - 1), to = std::min(last, window.end - 1);
        if (from < to) {
          rows = rows.subspan((from - first) * vocabulary, (to - from) * vocabulary);
          done.windows.back().sum += Loss(rows, tokens.subspan(from + 1, to - from));
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
    if (begin + size == prompt.size()) result.tokens.push_back(Likeliest(engine.Logits(size - 1, 1)));
    result.interrupted = !progress(begin + size);
    if (result.interrupted) return result;
  }
  result.prompt_seconds = SecondsSince(start);
  start = Clock::now();
  while (result.tokens.size() < count && !result.interrupted) {
    const uint64_t position = prompt.size() + result.tokens.size() - 1;
    engine.Run({&result.tokens.back(), 1}, position);
    result.tokens.push_back(Likeliest(engine.Logits(0, 1)));
    result.interrupted = !progress(position + 1);
  }
  result.generation_seconds = SecondsSince(start);
  return result;
}

}  // namespace llama

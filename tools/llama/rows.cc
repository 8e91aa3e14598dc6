#include "tools/llama/rows.h"

#include <algorithm>
#include <cmath>

#include "tools/llama/simd.h"

namespace llama {
namespace {

constexpr uint64_t kLanes = 16;  // sums are made in lanes, so that they can be added as vectors

}  // namespace

LLAMA_CLONES void NormRow(const float* x, const float* weight, uint64_t width, float epsilon, float* out) {
  float lanes[kLanes] = {};
  const uint64_t whole = width / kLanes * kLanes;
  for (uint64_t i = 0; i < whole; i += kLanes) {
    for (uint64_t j = 0; j < kLanes; ++j) lanes[j] += x[i + j] * x[i + j];
  }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  for (uint64_t i = whole; i < width; ++i) sum += x[i] * x[i];
  const float scale = 1 / std::sqrt(sum / static_cast<float>(width) + epsilon);
  for (uint64_t i = 0; i < width; ++i) out[i] = x[i] * scale * weight[i];
}

LLAMA_CLONES void SwiGlu(float* gate, const float* up, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) gate[i] = gate[i] / (1 + Exp(-gate[i])) * up[i];
}

LLAMA_CLONES void AddRow(float* to, const float* from, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) to[i] += from[i];
}

// The largest value is taken out first, so that nothing overflows.
LLAMA_CLONES double LogSumExp(const float* x, uint64_t count) {
  constexpr uint64_t kPiece = 1024;  // pieces are added up in double precision: vocabularies are large
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

}  // namespace llama

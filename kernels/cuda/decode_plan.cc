#include "kernels/cuda/decode_plan.h"

#include <algorithm>

namespace ingot::cuda {
namespace {

// Blocks for `threads` threads' work; no more than the device can run at once, a few times over.
uint32_t BlocksFor(uint64_t threads, uint32_t multiprocessors) {
  const uint64_t most = uint64_t{multiprocessors} * 16;
  return static_cast<uint32_t>(std::clamp<uint64_t>((threads + kDecodeThreads - 1) / kDecodeThreads, 1, most));
}

DecodeStep AnyStep(const DecodeParams& params, DType type, uint32_t multiprocessors) {
  const MatrixView& m = params.matrix;
  const uint64_t piece = type == DType::kF32 ? 4 : 8, row_pieces = (m.columns - 1) / piece + 1;
  DecodeStep step;
  step.kernel = DecodeKernel::kAny;
  step.out = type;
  step.params = params;
  step.params.row_pieces = Divider::By(row_pieces);
  const auto piece_of = [&](uint64_t i) { return i / m.columns * row_pieces + i % m.columns / piece; };
  step.grid = BlocksFor(piece_of(params.end - 1) - piece_of(params.first) + 1, multiprocessors);
  if (m.root.codebook != nullptr && m.root.bits > 5) {
    step.shared_bytes = (uint32_t{4} * kWarp) << m.root.bits;
    step.grid = std::min(step.grid, multiprocessors * 4);  // each block fills a table first
  }
  return step;
}

DecodeStep OutlierStep(const DecodeParams& params, DType type, uint32_t multiprocessors) {
  const MatrixView& m = params.matrix;
  DecodeStep step;
  step.kernel = DecodeKernel::kOutliers;
  step.out = type;
  step.params = params;
  const uint64_t rows = (params.end - 1) / m.columns - params.first / m.columns + 1;
  // Of unstructured ones nobody knows here how many are in the range: all of them at most.
  step.grid = BlocksFor(m.outliers == kColumns ? rows * m.outlier_count : m.outlier_count, multiprocessors);
  return step;
}

}  // namespace

std::vector<DecodeStep> PlanDecode(const MatrixView& matrix, uint64_t first, uint64_t count, DType type, void* out,
                                   uint32_t multiprocessors) {
  if (count == 0) return {};
  DecodeParams params;
  params.matrix = matrix;
  params.first = first, params.end = first + count;
  params.out = out;
  std::vector<DecodeStep> steps = {AnyStep(params, type, multiprocessors)};
  if (matrix.outliers != kNone) steps.push_back(OutlierStep(params, type, multiprocessors));
  return steps;
}

}  // namespace ingot::cuda

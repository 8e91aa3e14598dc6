#include "tools/llama/cuda/gpu_engine.h"

#include <algorithm>
#include <cmath>

#include "tools/llama/failure.h"
#include "tools/llama/rope.h"

namespace llama {
namespace {

constexpr uint64_t kBlocksPerMultiprocessor = 2;  // that an attention should have
constexpr uint64_t kMostSplits = 64;

uint64_t BlocksFor(uint64_t threads) { return (threads + gpu::kThreads - 1) / gpu::kThreads; }

void CheckPossible(const Config& config) {
  if (config.head_dim > gpu::kMostDim)
    Fail(kBadInput, "{}: heads of {} values; on a GPU at most {} are supported", config.source, config.head_dim,
         gpu::kMostDim);
}

}  // namespace

GpuEngine::GpuEngine(std::unique_ptr<Gpu> gpu, const IngotFile& file, const Config& config, const Weights& weights,
                     const GpuEngineOptions& options, const UploadProgress& progress)
    : config_(config),
      options_(options),
      gpu_(std::move(gpu)),
      kernels_(gpu_->kernels(options.half)),
      multiprocessors_(gpu_->info().multiprocessors) {
  CheckPossible(config);
  Gpu& g = *gpu_;
  weights_ = UploadWeights(g, file, weights, progress);
  const Rope rope(config, weights.rope_divisors, options.capacity);
  cosines_ = Floats(g, rope.cosines());
  sines_ = Floats(g, rope.sines());
  const uint64_t batch = options.batch, q_width = config.heads * config.head_dim;
  const uint64_t kv_width = config.kv_heads * config.head_dim;
  for (uint64_t i = 0; i < config.layers; ++i)
    caches_.push_back({Halves(g, kv_width * options.capacity), Halves(g, kv_width * options.capacity)});
  hidden_ = Floats(g, batch * config.width);
  normed_ = Halves(g, batch * config.width);
  q_ = Floats(g, batch * q_width);
  turned_ = Floats(g, batch * q_width);
  k_ = Floats(g, batch * kv_width);
  v_ = Floats(g, batch * kv_width);
  attended_ = Halves(g, batch * q_width);
  gate_ = Floats(g, batch * config.inner);
  up_ = Floats(g, batch * config.inner);
  gated_ = Halves(g, batch * config.inner);
  scratch_ = GpuArray<std::byte>(g, ScratchBytes());
}

GpuEngine::~GpuEngine() { (void)ingot_device_wait(gpu_->device(), gpu_->stream()); }

template <typename T>
void GpuEngine::Reserve(GpuArray<T>& array, uint64_t count) {
  if (array.size() >= count) return;
  gpu_->Wait();  // for what uses it still
  array = GpuArray<T>();
  array = GpuArray<T>(*gpu_, count);
}

ingot_device_product GpuEngine::Product(uint64_t count) const {
  ingot_device_product product{};  // zero is the default of every field
  product.struct_size = sizeof product;
  product.precision = static_cast<uint32_t>(options_.precision);
  product.x_dtype = options_.half == gpu::Half::kF16 ? INGOT_F16 : INGOT_BF16;
  product.x_rows = count;
  return product;
}

// What the largest product of a batch needs.
uint64_t GpuEngine::ScratchBytes() const {
  const ingot_device_product product = Product(options_.batch);
  uint64_t most = 0;
  const auto add = [&](const GpuLinear& linear) {
    size_t needed = 0;
    Check(ingot_device_product_scratch(linear.weight.get(), nullptr, &product, &needed));
    most = std::max<uint64_t>(most, needed);
  };
  for (const GpuLayer& l : weights_.layers) {
    for (const GpuLinear* linear : {&l.q, &l.k, &l.v, &l.output, &l.gate, &l.up, &l.down}) add(*linear);
  }
  add(weights_.head);
  return most;
}

// The product reads the packed weights where the upload has put them. As on the CPU, which encoding a tensor has never
// matters here.
void GpuEngine::Apply(const GpuLinear& linear, const uint16_t* x, uint64_t count, float* y, bool add) {
  ingot_device_product product = Product(count);
  product.x = x;
  product.y = y;
  product.add = add ? 1 : 0;
  product.scratch = scratch_.data();
  product.scratch_bytes = scratch_.size();
  Check(ingot_device_tensor_multiply(linear.weight.get(), nullptr, &product, gpu_->stream()));
  if (linear.bias.empty()) return;
  const uint64_t values = count * linear.bias.size();
  gpu_->Launch(kernels_.add, {y, linear.bias.data(), values, linear.bias.size()}, BlocksFor(values));
}

void GpuEngine::Norm(const Floats& weight, uint64_t count) {
  gpu_->Launch(kernels_.norm, {hidden_.data(), weight.data(), normed_.data(), config_.width, config_.epsilon}, count);
}

uint32_t GpuEngine::SplitsOf(uint64_t positions, uint64_t count) const {
  const uint64_t blocks = config_.kv_heads * gpu::AttendRowBlocks(count, config_.heads, config_.kv_heads);
  const uint64_t tiles = (positions + 31) / 32;
  const uint64_t wanted = (kBlocksPerMultiprocessor * multiprocessors_ + blocks - 1) / blocks;
  return static_cast<uint32_t>(std::clamp<uint64_t>(wanted, 1, std::min(tiles, kMostSplits)));
}

void GpuEngine::RunAttention(const GpuLayer& layer, const Cache& cache, uint64_t position, uint64_t count) {
  const auto heads = static_cast<uint32_t>(config_.heads), kv_heads = static_cast<uint32_t>(config_.kv_heads);
  const auto dim = static_cast<uint32_t>(config_.head_dim);
  Norm(layer.attention_norm, count);
  Apply(layer.q, normed_.data(), count, q_.data());
  Apply(layer.k, normed_.data(), count, k_.data());
  Apply(layer.v, normed_.data(), count, v_.data());

  gpu::TurnParams turn{};
  turn.q = q_.data(), turn.k = k_.data(), turn.v = v_.data();
  turn.cosines = cosines_.data(), turn.sines = sines_.data();
  turn.turned = turned_.data(), turn.keys = cache.keys.data(), turn.values = cache.values.data();
  turn.heads = heads, turn.kv_heads = kv_heads, turn.dim = dim;
  turn.neighbours = config_.layout == Layout::kGguf ? 1 : 0;
  turn.capacity = options_.capacity, turn.position = position;
  turn.scale = 1 / std::sqrt(static_cast<float>(dim));
  gpu_->Launch(kernels_.turn, turn, count);

  const uint64_t rows = count * heads;
  const uint64_t seen = config_.window != 0 ? std::min(position + count, config_.window + count) : position + count;
  const uint32_t splits = SplitsOf(seen, count);
  Reserve(sums_, splits * rows * dim);
  Reserve(totals_, splits * rows * 2);
  gpu::AttendParams attend{};
  attend.q = turned_.data(), attend.keys = cache.keys.data(), attend.values = cache.values.data();
  attend.sums = sums_.data(), attend.totals = totals_.data();
  attend.heads = heads, attend.kv_heads = kv_heads, attend.dim = dim, attend.splits = splits;
  attend.capacity = options_.capacity, attend.position = position, attend.tokens = count;
  attend.window = config_.window;
  gpu_->Launch(kernels_.attend, attend, kv_heads * gpu::AttendRowBlocks(count, heads, kv_heads) * splits);
  gpu_->Launch(kernels_.combine, {sums_.data(), totals_.data(), attended_.data(), rows, dim, splits},
               BlocksFor(rows * 32));
  Apply(layer.output, attended_.data(), count, hidden_.data(), true);
}

void GpuEngine::RunMlp(const GpuLayer& layer, uint64_t count) {
  const uint64_t values = count * config_.inner;
  Norm(layer.mlp_norm, count);
  Apply(layer.gate, normed_.data(), count, gate_.data());
  Apply(layer.up, normed_.data(), count, up_.data());
  gpu_->Launch(kernels_.swiglu, {gate_.data(), up_.data(), gated_.data(), values}, BlocksFor(values));
  Apply(layer.down, gated_.data(), count, hidden_.data(), true);
}

void GpuEngine::Run(std::span<const uint32_t> tokens, uint64_t position) {
  const uint64_t count = tokens.size(), width = config_.width;
  // Of the embedding, which may be quantized too, only the rows of these tokens are decoded.
  for (uint64_t t = 0; t < count; ++t) {
    ingot_slice row{};
    row.struct_size = sizeof row;
    row.row = tokens[t];
    row.rows = 1;  // columns 0: all of them
    Check(ingot_device_tensor_decode(weights_.embedding.get(), &row, INGOT_F32, hidden_.data() + t * width,
                                     width * sizeof(float), 0, gpu_->stream()));
  }
  for (uint64_t i = 0; i < config_.layers; ++i) {
    RunAttention(weights_.layers[i], caches_[i], position, count);
    RunMlp(weights_.layers[i], count);
  }
  Norm(weights_.norm, count);
}

void GpuEngine::Project(uint64_t first, uint64_t count) {
  Reserve(logits_, count * config_.vocabulary);
  projected_ = count;
  Apply(weights_.head, normed_.data() + first * config_.width, count, logits_.data());
}

std::span<const float> GpuEngine::Logits() {
  logits_out_.resize(projected_ * config_.vocabulary);
  gpu_->CopyOut(logits_out_.data(), logits_.data(), logits_out_.size() * sizeof(float));
  return logits_out_;
}

std::vector<double> GpuEngine::Losses(uint64_t row, std::span<const uint32_t> targets) {
  Reserve(targets_, targets.size());
  Reserve(losses_, targets.size());
  gpu_->CopyIn(targets_.data(), targets.data(), targets.size_bytes());
  const float* const logits = logits_.data() + row * config_.vocabulary;
  gpu_->Launch(kernels_.losses, {logits, targets_.data(), losses_.data(), config_.vocabulary}, targets.size());
  std::vector<float> losses(targets.size());
  gpu_->CopyOut(losses.data(), losses_.data(), losses.size() * sizeof(float));
  return {losses.begin(), losses.end()};
}

}  // namespace llama

#include "tools/bench/cuda/gpu_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "format/dtype.h"
#include "kernels/cuda/decode_plan.h"
#include "tools/bench/cuda/kernels.h"

namespace ingot::bench {
namespace {

constexpr uint64_t kStaging = 16 << 20;
constexpr uint32_t kBlocksPerMultiprocessor = 8, kRounds = 512;

}  // namespace

Result<std::shared_ptr<const GpuBench>> GpuBench::Make(std::shared_ptr<Gpu> gpu, uint64_t copied) {
  std::shared_ptr<GpuBench> bench(new GpuBench(std::move(gpu)));
  bench->copied_ = copied;
  for (auto* memory : {&bench->from_, &bench->to_}) {
    auto allocated = bench->Allocate(copied);
    if (!allocated) return Propagate(allocated);
    *memory = *allocated;
  }
  return bench;
}

Result<std::shared_ptr<const DeviceMemory>> GpuBench::Allocate(uint64_t size) const {
  auto memory = DeviceMemory::Allocate(gpu_->device(), {}, std::max<uint64_t>(size, 1));
  if (!memory) return Propagate(memory);
  return std::make_shared<const DeviceMemory>(std::move(*memory));
}

Status GpuBench::CopyIn(std::byte* to, ByteSpan from) const {
  const auto pinned = device().AllocatePinned(kStaging);
  if (!pinned) return Propagate(pinned);
  Status done;
  for (uint64_t at = 0; at < from.size() && done; at += kStaging) {
    const ByteSpan piece = from.subspan(at, std::min<uint64_t>(kStaging, from.size() - at));
    std::memcpy(*pinned, piece.data(), piece.size());
    DeviceCopy copy;
    copy.to = to + at, copy.from = *pinned, copy.size = piece.size();
    done = device().Copy(copy, nullptr);
    if (done) done = device().WaitForStream(nullptr);
  }
  device().FreePinned(*pinned, kStaging);
  return done;
}

Work GpuBench::Enqueued(double amount, std::function<Status()> enqueue) const {
  const auto run = [failed = failed_, body = std::move(enqueue)] {
    if (auto done = body(); !done && *failed) *failed = done;
  };
  return {amount, run, [gpu = gpu_](const std::function<void()>& work) { return gpu->Seconds(work); }};
}

Status GpuBench::Wait() const {
  const Status waited = device().WaitForStream(nullptr);
  return *failed_ ? waited : *failed_;
}

Work GpuBench::Copy() const {
  return Enqueued(2.0 * static_cast<double>(copied_),
                  [this] { return gpu_->Copy(to_->data(), from_->data(), copied_); });
}
Work GpuBench::CopyByKernel() const {
  return Enqueued(2.0 * static_cast<double>(copied_),
                  [this] { return gpu_->CopyByKernel(to_->data(), from_->data(), copied_); });
}

Work GpuBench::MultiplyTiles() const {
  const uint64_t room = copied_ / (kYardstickThreads * sizeof(float));
  const auto blocks = static_cast<uint32_t>(
      std::min<uint64_t>(room, uint64_t{kBlocksPerMultiprocessor} * device().info().multiprocessors));
  const uint32_t rounds = copied_ < kStaging ? 4 : kRounds;
  return Enqueued(TileOperations(blocks, rounds), [this, blocks, rounds] {
    return gpu_->MultiplyTiles(blocks, rounds, reinterpret_cast<float*>(to_->data()));
  });
}

Result<GpuMatrix> GpuMatrix::Make(const GpuBench& bench, const MatrixSpec& spec) {
  const SyntheticMatrix made(spec);
  GpuMatrix matrix;
  auto memory = bench.Allocate(made.bytes());
  if (!memory) return Propagate(memory);
  matrix.memory_ = *memory;
  std::byte* const at = matrix.memory_->data();
  if (auto copied = bench.CopyIn(at, {made.data(), made.bytes()}); !copied) return Propagate(copied);
  const auto view = cuda::MakeMatrixView(
      made.matrix(), [&](ByteSpan plane) -> const void* { return at + (plane.data() - made.data()); });
  if (!view) return Propagate(view);
  matrix.view_ = *view;
  return matrix;
}

Result<GpuActivations> GpuActivations::Make(const GpuBench& bench, DType type, uint64_t rows, uint64_t columns,
                                            uint64_t results) {
  std::vector<uint16_t> x(rows * columns);
  Words words(3);
  for (size_t i = 0; i < x.size(); ++i) {
    const float value = i % columns % 200 == 0 ? 20 : words.Between(-1, 1);
    x[i] = type == DType::kF16 ? F32ToF16(value) : F32ToBF16(value);
  }
  GpuActivations made;
  made.type_ = type, made.rows_ = rows;
  auto in = bench.Allocate(2 * x.size());
  if (!in) return Propagate(in);
  auto out = bench.Allocate(rows * results * sizeof(float));
  if (!out) return Propagate(out);
  made.x_ = *in, made.y_ = *out;
  if (auto copied = bench.CopyIn(made.x_->data(), std::as_bytes(std::span(x))); !copied) return Propagate(copied);
  return made;
}

cuda::ProductRequest GpuActivations::Request(uint64_t rows, uint64_t columns, cuda::ProductPrecision precision) const {
  cuda::ProductRequest request;
  request.slice = {0, rows, 0, columns};
  request.x = x_->data(), request.x_type = type_, request.x_rows = rows_, request.x_stride = columns;
  request.y = reinterpret_cast<float*>(y_->data()), request.y_stride = rows;
  request.precision = precision;
  return request;
}

std::span<const ProductWay> ProductWays() {
  static constexpr ProductWay kWays[] = {{"f16", DType::kF16, cuda::ProductPrecision::kNative},
                                         {"bf16", DType::kBF16, cuda::ProductPrecision::kNative},
                                         {"int8", DType::kF16, cuda::ProductPrecision::kInt8},
                                         {"llm.int8", DType::kF16, cuda::ProductPrecision::kLlmInt8}};
  return kWays;
}

Status AddProduct(Bench& into, const GpuBench& bench, const std::string& what, const ProductWay& way, uint64_t x_rows,
                  uint64_t plane_bytes, uint64_t rows, uint64_t columns, std::function<Status()> multiply) {
  constexpr uint64_t kFew = 16;  // rows of activations up to which the weights' bytes decide
  const auto values = static_cast<double>(rows) * static_cast<double>(columns), batch = static_cast<double>(x_rows);
  const double bytes = static_cast<double>(plane_bytes) +
                       batch * (2 * static_cast<double>(columns) + sizeof(float) * static_cast<double>(rows));
  const std::string row = x_rows == 1 ? what : fmt::format("{}, {} rows", what, x_rows);
  if (x_rows <= kFew) {
    const char* const section = x_rows == 1 ? "products, 1 row" : "products, 2 to 16 rows";
    into.AddRate({section, row, way.name, "copy on the device, bytes read and written"},
                 bench.Enqueued(bytes, std::move(multiply)), bench.Copy());
  } else {
    into.AddRate({"products, many rows", row, way.name, "f16 multiply-adds of tensor cores (mma.sync)"},
                 bench.Enqueued(2 * values * batch, std::move(multiply)), bench.MultiplyTiles(), "GFLOP/s");
  }
  return bench.Wait();
}

}  // namespace ingot::bench

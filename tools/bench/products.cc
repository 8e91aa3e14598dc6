// How fast packed matrices multiply: one row of activations beside a memory read of the packed bytes, many rows beside
// the multiply-adds that the processor can do.
#include <fmt/format.h>

#include "kernels/product.h"
#include "tools/bench/sections.h"
#include "tools/bench/synthetic.h"

namespace ingot::bench {
namespace {

constexpr uint64_t kColumns = 4096;

// `rows` rows of values between -1 and 1; every 200th column, 0.5 %, is an outlier by LLM.int8's threshold.
std::vector<float> Activations(uint64_t rows) {
  std::vector<float> x(rows * kColumns);
  Words words(3);
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % kColumns % 200 == 0 ? 20 : words.Between(-1, 1);
  return x;
}

Task OneRow(const MatrixSpec& spec) {
  return [spec](Bench& bench) -> Status {
    const SyntheticMatrix w(spec);
    const std::vector<float> x = Activations(1);
    std::vector<float> y(spec.rows);
    constexpr std::pair<Precision, const char*> kPrecisions[] = {
        {Precision::kInt8, "int8"}, {Precision::kInt16, "int16"}, {Precision::kF32, "f32"}};
    for (const auto& precision : kPrecisions) {
      for (int threads : bench.thread_counts()) {
        const Team team(threads);
        const Product product{x.data(), 1, kColumns, y.data(), spec.rows, precision.first, 6.0f, false};
        const auto multiply = [&] { Multiply(w.matrix(), {0, spec.rows, 0, kColumns}, product); };
        const Work work = {static_cast<double>(w.bytes()), [&] { team.Execute(multiply); }};
        bench.AddRate({"products, 1 row", spec.name(), OnThreads(precision.second, threads),
                       "8-stream read of the packed bytes, " + ThreadsText(threads)},
                      work, EightStreamRead(w.data(), w.bytes(), team));
      }
    }
    return {};
  };
}

Task ManyRows(const MatrixSpec& spec, uint64_t batch) {
  return [spec, batch](Bench& bench) -> Status {
    const SyntheticMatrix w(spec);
    const std::vector<float> x = Activations(batch);
    std::vector<float> y(batch * spec.rows);
    constexpr std::pair<Precision, const char*> kPrecisions[] = {
        {Precision::kF32, "f32"}, {Precision::kInt8, "int8"}, {Precision::kLlmInt8, "llm.int8"}};
    for (const auto& precision : kPrecisions) {
      for (int threads : bench.thread_counts()) {
        const Team team(threads);
        const Product product{x.data(), batch, kColumns, y.data(), spec.rows, precision.first, 6.0f, false};
        const auto multiply = [&] { Multiply(w.matrix(), {0, spec.rows, 0, kColumns}, product); };
        const Work work = {2 * w.values() * static_cast<double>(batch), [&] { team.Execute(multiply); }};
        bench.AddRate({"products, many rows", fmt::format("{}, {} rows", spec.name(), batch),
                       OnThreads(precision.second, threads), "f32 multiply-adds, " + ThreadsText(threads)},
                      work, FmaPeak(team), "GFLOP/s");
      }
    }
    return {};
  };
}

MatrixSpec Spec(int bits, uint64_t group) {
  MatrixSpec spec;
  spec.bits = bits, spec.group = group, spec.columns = kColumns;
  return spec;
}

}  // namespace

std::vector<MatrixSpec> ProductSpecs(uint64_t code_bytes) {
  std::vector<MatrixSpec> specs;
  for (Zero zero : {Zero::kIntegers, Zero::kConstant}) {
    for (int bits : {2, 3, 4, 8}) specs.push_back(Spec(bits, 128)), specs.back().zero = zero;
  }
  specs.push_back(Spec(4, 32));
  specs.push_back(Spec(4, 64)), specs.back().codebook = true;
  specs.push_back(Spec(4, 128)), specs.back().outliers = 0.01;
  for (MatrixSpec& spec : specs) spec.rows = 8 * code_bytes / kColumns / static_cast<uint64_t>(spec.bits);
  return specs;
}

std::vector<Task> GemvTasks(const Bench& bench) {
  std::vector<Task> tasks;
  for (const MatrixSpec& spec : ProductSpecs(bench.quick() ? 1 << 20 : 128 << 20)) tasks.push_back(OneRow(spec));
  return tasks;
}

std::vector<Task> GemmTasks(const Bench& bench) {
  std::vector<Task> tasks;
  for (int bits : {4, 8}) {
    MatrixSpec spec = Spec(bits, 128);
    spec.rows = bench.quick() ? 64 : 4096;
    for (uint64_t batch : {32, 512}) tasks.push_back(ManyRows(spec, batch));
  }
  return tasks;
}

}  // namespace ingot::bench

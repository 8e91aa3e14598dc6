// The kernels of ingot-llama under the executor, beside what its engine for the CPU computes: ragged sizes, several
// orders of threads, and kernels that are broken on purpose.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "format/dtype.h"
#include "tests/simt/executor.h"
#include "tools/llama/attention.h"
#include "tools/llama/cuda/kernel_params.h"
#include "tools/llama/rope.h"
#include "tools/llama/rows.h"

namespace llama {
namespace {

using gpu::Half;
using ingot::simt::Fault;
using Floats = std::vector<float>;
using Halves = std::vector<uint16_t>;

constexpr Half kHalves[] = {Half::kF16, Half::kBF16};

uint16_t Round(Half half, float value) { return half == Half::kF16 ? ingot::F32ToF16(value) : ingot::F32ToBF16(value); }
float Widen(Half half, uint16_t value) { return half == Half::kF16 ? ingot::F16ToF32(value) : ingot::BF16ToF32(value); }
// By what rounding may change a value.
double RoundingOf(Half half, double value) {
  return half == Half::kF16 ? std::ldexp(std::abs(value), -11) + 0x1p-25 : std::ldexp(std::abs(value), -8);
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  uint64_t Below(uint64_t n) { return engine_() % n; }
  Floats Values(uint64_t count, float most) {
    Floats values(count);
    std::uniform_real_distribution<float> between(-most, most);
    for (float& value : values) value = between(engine_);
    return values;
  }
  // That 16 bits hold.
  Floats Rounded(Half half, uint64_t count, float most) {
    Floats values = Values(count, most);
    for (float& value : values) value = Widen(half, Round(half, value));
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

// A launch with the memory that it may use: each array ends with its last value.
class Run {
 public:
  explicit Run(unsigned seed, Fault fault = Fault::kNone) : seed_(seed), fault_(fault) {}

  template <typename T>
  const T* In(const std::vector<T>& values, const char* name) {
    memory_.LendReadOnly(values.data(), values.size() * sizeof(T), name);
    return values.data();
  }
  template <typename T>
  T* Out(std::vector<T>& values, const char* name) {
    memory_.Lend(values.data(), values.size() * sizeof(T), name);
    return values.data();
  }
  template <typename Params>
  std::string Launch(void (*kernel)(Params), const Params& params, uint64_t blocks) {
    ingot::simt::LaunchOptions options;
    options.grid = static_cast<unsigned>(blocks), options.block = gpu::kThreads;
    options.seed = seed_, options.fault = fault_;
    return ingot::simt::Launch(memory_, options, [&] { kernel(params); }).error;
  }

 private:
  ingot::simt::Memory memory_;
  unsigned seed_;
  Fault fault_;
};

// ---- rows: each gives the error of the executor, or what is wrong

std::string RunNorm(Half half, uint64_t rows, uint64_t width, unsigned seed, Fault fault = Fault::kNone) {
  Random random(seed);
  const Floats x = random.Values(rows * width, 3), weight = random.Values(width, 2);
  Halves out(x.size());
  Run run(seed, fault);
  const gpu::NormParams params = {run.In(x, "x"), run.In(weight, "weight"), run.Out(out, "out"), width, 1e-5f};
  const std::string error = run.Launch(KernelsFor(half).norm, params, rows);
  if (!error.empty()) return error;
  Floats expected(width);
  for (uint64_t r = 0; r < rows; ++r) {
    NormRow(&x[r * width], weight.data(), width, 1e-5f, expected.data());
    for (uint64_t i = 0; i < width; ++i) {
      const double e = expected[i], bound = RoundingOf(half, e) * 1.01 + std::abs(e) * 1e-6;
      if (!(std::abs(Widen(half, out[r * width + i]) - e) <= bound)) return "wrong";
    }
  }
  return "";
}

std::string RunLosses(uint64_t rows, uint64_t vocabulary, float most, unsigned seed, Fault fault = Fault::kNone) {
  Random random(seed);
  const Floats logits = random.Values(rows * vocabulary, most);
  std::vector<uint32_t> targets;
  for (uint64_t r = 0; r < rows; ++r) targets.push_back(static_cast<uint32_t>(random.Below(vocabulary)));
  Floats losses(rows);
  Run run(seed, fault);
  const gpu::LossParams params = {run.In(logits, "logits"), run.In(targets, "targets"), run.Out(losses, "losses"),
                                  vocabulary};
  const std::string error = run.Launch(KernelsFor(Half::kF16).losses, params, rows);
  if (!error.empty()) return error;
  for (uint64_t r = 0; r < rows; ++r) {
    const float* row = &logits[r * vocabulary];
    const double expected = LogSumExp(row, vocabulary) - static_cast<double>(row[targets[r]]);
    if (!(std::abs(losses[r] - expected) <= 1e-6 * (1 + std::abs(expected) + most))) return "wrong";
  }
  return "";
}

TEST_CASE("norms of ragged rows are the CPU's, rounded") {
  for (Half half : kHalves) {
    for (uint64_t width : {1, 2, 31, 96, 255, 256, 257, 1000}) {
      for (unsigned seed : {0u, 1u, 2u, 3u}) CHECK(RunNorm(half, 1 + seed, width, seed) == "");
    }
  }
}

TEST_CASE("losses are the CPU's, large logits too") {
  for (uint64_t vocabulary : {1, 2, 131, 255, 256, 257, 5003}) {
    for (float most : {0.0f, 5.0f, 20000.0f}) {
      for (unsigned seed : {0u, 1u, 2u}) CHECK(RunLosses(1 + seed, vocabulary, most, seed) == "");
    }
  }
}

TEST_CASE("a NaN or an infinity among logits shows in the loss") {
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    Floats logits(300, 1.0f), losses(1);
    logits[7] = bad;
    const std::vector<uint32_t> targets = {3};
    Run run(0);
    const gpu::LossParams params = {run.In(logits, "logits"), run.In(targets, "targets"), run.Out(losses, "losses"),
                                    logits.size()};
    CHECK(run.Launch(KernelsFor(Half::kF16).losses, params, 1) == "");
    CHECK(!std::isfinite(losses[0]));
  }
}

TEST_CASE("biases are added to every row, bit for bit") {
  for (uint64_t width : {1, 3, 64, 255, 257}) {
    Random random(static_cast<unsigned>(width));
    const uint64_t rows = 1 + random.Below(5);
    const Floats bias = random.Values(width, 2);
    Floats y = random.Values(rows * width, 5), expected = y;
    for (uint64_t r = 0; r < rows; ++r) AddRow(&expected[r * width], bias.data(), width);
    Run run(static_cast<unsigned>(width % 4));
    const gpu::AddParams params = {run.Out(y, "y"), run.In(bias, "bias"), y.size(), width};
    CHECK(run.Launch(KernelsFor(Half::kF16).add, params, (y.size() + gpu::kThreads - 1) / gpu::kThreads) == "");
    CHECK(y == expected);
  }
}

TEST_CASE("SwiGLU is the CPU's, rounded; far from zero too") {
  for (Half half : kHalves) {
    for (uint64_t count : {1, 255, 256, 257, 700}) {
      Random random(static_cast<unsigned>(count));
      Floats gate = random.Values(count, count == 700 ? 95 : 6);
      const Floats up = random.Values(count, 3);
      Halves out(count);
      Run run(static_cast<unsigned>(count % 4));
      const gpu::SwiGluParams params = {run.In(gate, "gate"), run.In(up, "up"), run.Out(out, "out"), count};
      CHECK(run.Launch(KernelsFor(half).swiglu, params, (count + gpu::kThreads - 1) / gpu::kThreads) == "");
      Floats expected = gate;
      SwiGlu(expected.data(), up.data(), count);
      for (uint64_t i = 0; i < count; ++i) {
        const double e = expected[i];
        CHECK(std::abs(Widen(half, out[i]) - e) <= RoundingOf(half, e) * 1.01 + std::abs(e) * 1e-6 + 1e-30);
      }
    }
  }
}

// ---- attention

Config ConfigOf(uint64_t heads, uint64_t kv_heads, uint64_t dim, uint64_t window) {
  Config config;
  config.heads = heads, config.kv_heads = kv_heads, config.head_dim = dim, config.window = window;
  return config;
}

TEST_CASE("queries are turned and scaled, keys turned and stored, values stored: the bits of the CPU's") {
  for (Half half : kHalves) {
    for (uint64_t dim : {2, 6, 20, 64, 128, 256}) {
      for (Layout layout : {Layout::kHuggingFace, Layout::kGguf}) {
        Random random(static_cast<unsigned>(dim));
        Config config = ConfigOf(6, 2, dim, 0);
        config.layout = layout;
        const uint64_t capacity = 9, position = random.Below(6), tokens = 1 + random.Below(3);
        const Rope rope(config, {}, capacity);
        const Floats cosines(rope.cosines().begin(), rope.cosines().end());
        const Floats sines(rope.sines().begin(), rope.sines().end());
        const Floats q = random.Values(tokens * 6 * dim, 4), k = random.Values(tokens * 2 * dim, 4);
        const Floats v = random.Values(tokens * 2 * dim, 4);
        Floats turned(q.size());
        Halves keys(2 * capacity * dim, 7), values = keys;
        Run run(static_cast<unsigned>(dim % 4));
        gpu::TurnParams p{};
        p.q = run.In(q, "q"), p.k = run.In(k, "k"), p.v = run.In(v, "v");
        p.cosines = run.In(cosines, "cosines"), p.sines = run.In(sines, "sines");
        p.turned = run.Out(turned, "turned"), p.keys = run.Out(keys, "keys"), p.values = run.Out(values, "values");
        p.heads = 6, p.kv_heads = 2, p.dim = static_cast<uint32_t>(dim);
        p.neighbours = layout == Layout::kGguf ? 1 : 0;
        p.capacity = capacity, p.position = position, p.scale = 0.3f;
        CHECK(run.Launch(KernelsFor(half).turn, p, tokens) == "");

        Floats expected_q = q, expected_k = k;
        Halves expected_keys(keys.size(), 7), expected_values(keys.size(), 7);
        for (uint64_t t = 0; t < tokens; ++t) {
          for (uint64_t h = 0; h < 6; ++h) rope.Turn(&expected_q[(t * 6 + h) * dim], position + t);
          for (uint64_t h = 0; h < 2; ++h) {
            const uint64_t from = (t * 2 + h) * dim, to = (h * capacity + position + t) * dim;
            rope.Turn(&expected_k[from], position + t);
            for (uint64_t d = 0; d < dim; ++d) {
              expected_keys[to + d] = Round(half, expected_k[from + d]);
              expected_values[to + d] = Round(half, v[from + d]);
            }
          }
        }
        for (float& value : expected_q) value *= 0.3f;
        CHECK(turned == expected_q);
        CHECK(keys == expected_keys);
        CHECK(values == expected_values);
      }
    }
  }
}

struct AttendCase {
  uint64_t heads, kv_heads, dim, position, tokens, window;
  uint32_t splits;
};

// Keys and values of the positions so far, for both sides.
struct Stored {
  Stored(Half half, const Config& config, uint64_t positions, uint64_t capacity, Random& random)
      : cpu(config, capacity), keys(config.kv_heads * capacity * config.head_dim), values(keys.size()) {
    const uint64_t dim = config.head_dim, row = config.kv_heads * dim;
    const Floats k = random.Rounded(half, positions * row, 2), v = random.Rounded(half, positions * row, 2);
    cpu.Store(0, positions, k.data(), v.data());
    for (uint64_t i = 0; i < k.size(); ++i) {
      const uint64_t to = (i % row / dim * capacity + i / row) * dim + i % dim;
      keys[to] = Round(half, k[i]), values[to] = Round(half, v[i]);
    }
  }
  KvCache cpu;
  Halves keys, values;
};

std::string RunAttend(Half half, const AttendCase& c, unsigned seed, Fault fault = Fault::kNone) {
  Random random(seed);
  const Config config = ConfigOf(c.heads, c.kv_heads, c.dim, c.window);
  const uint64_t end = c.position + c.tokens, capacity = end + random.Below(3), rows = c.tokens * c.heads;
  const Stored stored(half, config, end, capacity, random);
  Floats q = random.Values(rows * c.dim, 3), scaled = q;
  for (float& value : scaled) value *= 1 / std::sqrt(static_cast<float>(c.dim));
  Floats sums(c.splits * rows * c.dim), totals(c.splits * rows * 2);
  Halves out(rows * c.dim);
  const auto dim = static_cast<uint32_t>(c.dim);
  Run first(seed, fault), second(seed, fault);
  gpu::AttendParams p{};
  p.q = first.In(scaled, "q"), p.keys = first.In(stored.keys, "keys"), p.values = first.In(stored.values, "values");
  p.sums = first.Out(sums, "sums"), p.totals = first.Out(totals, "totals");
  p.heads = static_cast<uint32_t>(c.heads), p.kv_heads = static_cast<uint32_t>(c.kv_heads), p.dim = dim;
  p.splits = c.splits, p.capacity = capacity, p.position = c.position, p.tokens = c.tokens, p.window = c.window;
  std::string error = first.Launch(KernelsFor(half).attend, p,
                                   c.kv_heads * gpu::AttendRowBlocks(c.tokens, c.heads, c.kv_heads) * c.splits);
  if (!error.empty()) return error;
  const gpu::CombineParams combine = {
      second.In(sums, "sums"), second.In(totals, "totals"), second.Out(out, "out"), rows, dim, c.splits};
  error = second.Launch(KernelsFor(half).combine, combine, (rows * 32 + gpu::kThreads - 1) / gpu::kThreads);
  if (!error.empty()) return error;
  Floats expected(out.size());
  Attend(config, stored.cpu, c.position, c.tokens, q.data(), expected.data());
  for (uint64_t i = 0; i < out.size(); ++i) {
    const double e = expected[i];
    if (!(std::abs(Widen(half, out[i]) - e) <= RoundingOf(half, e) * 1.01 + 1e-5)) return "wrong";
  }
  return "";
}

constexpr AttendCase kAttendCases[] = {
    {1, 1, 2, 0, 1, 0, 1},     {4, 2, 16, 0, 5, 0, 1},     {4, 2, 16, 31, 2, 0, 1},  {4, 2, 16, 31, 1, 0, 2},
    {3, 1, 20, 0, 9, 0, 1},    {3, 1, 20, 40, 3, 0, 2},    {2, 2, 64, 63, 2, 0, 3},  {8, 1, 66, 70, 1, 0, 5},
    {4, 4, 128, 95, 4, 11, 1}, {4, 1, 128, 100, 3, 40, 2}, {2, 1, 130, 33, 1, 1, 1}, {1, 1, 256, 64, 2, 0, 3},
    {9, 1, 6, 3, 2, 2, 1},     {6, 2, 32, 200, 7, 64, 3},
};

TEST_CASE("attention is the CPU's: ragged heads, windows, positions cut into shares") {
  for (Half half : kHalves) {
    for (const AttendCase& c : kAttendCases) {
      for (unsigned seed : {0u, 1u, 2u}) {
        CAPTURE(c.dim);
        CAPTURE(c.position);
        CAPTURE(seed);
        CHECK(RunAttend(half, c, seed) == "");
      }
    }
  }
}

TEST_CASE("shares without a position that the row sees count for nothing") {
  // Of tokens with a short window, the later ones see nothing of the first share.
  for (unsigned seed : {0u, 1u, 2u}) CHECK(RunAttend(Half::kF16, {1, 1, 16, 10, 8, 2, 2}, seed) == "");
  for (unsigned seed : {0u, 1u, 2u}) CHECK(RunAttend(Half::kF16, {1, 1, 16, 60, 8, 3, 64}, seed) == "");
}

TEST_CASE("kernels without barriers or with wrong shuffles fail") {
  const AttendCase attend = {4, 2, 16, 70, 3, 0, 1};
  for (Fault fault : {Fault::kNoBarriers, Fault::kWrongShuffles}) {
    for (unsigned seed : {0u, 1u, 2u}) {
      CHECK(RunAttend(Half::kF16, attend, seed, fault) != "");
      if (fault == Fault::kWrongShuffles) continue;
      CHECK(RunNorm(Half::kF16, 2, 300, seed, fault) != "");
      CHECK(RunLosses(2, 700, 5, seed, fault) != "");
    }
  }
  CHECK(RunNorm(Half::kF16, 2, 300, 0, Fault::kWrongShuffles) != "");
  CHECK(RunLosses(2, 700, 5, 0, Fault::kWrongShuffles) != "");
}

}  // namespace
}  // namespace llama

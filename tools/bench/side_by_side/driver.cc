// Times Ingot and ggml in one process, in turns, on the same weights; tools/bench/peers compiles and runs it:
//   driver dequantize|products SECONDS THREADS NATIVE_GGML_BASE INGOT_FILE GGUF_FILE TENSOR=TENSOR[,TENSOR...]
// TENSOR of the .ingot file beside those of the GGUF file. Prints a JSON line for each measurement; seconds are of one
// run. Keeps all memory until it ends: one tensor a process.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "tools/bench/race.h"
#include "tools/bench/side_by_side/ggml_side.h"
#include "tools/bench/side_by_side/ingot_side.h"

namespace side {
namespace {

using ingot::bench::Effort;
using ingot::bench::Race;
using ingot::bench::Work;

struct Options {
  std::string mode;
  double seconds = 0.2;
  int threads = 1;
  const char* native_base = nullptr;
  std::string ingot_file, gguf_file;

  // ggml's threads wait in a loop for some milliseconds after each product.
  Effort effort() const { return {seconds, seconds < 0.1 ? 1 : 5, 3, threads > 1 ? 0.03 : 0}; }
};

struct Case {
  std::string ingot;
  std::vector<std::string> ggml;

  // Ingot's tensor was made of ggml's: the values are the same.
  bool same() const { return ggml.size() == 1 && ggml[0] == ingot; }
};

// Contestants and what they are called: "ingot", "ingot int8", "q4_0 shipped", ...
struct Contest {
  std::vector<std::string> names;
  std::vector<Work> works;

  void Add(std::string name, std::function<void()> run) {
    names.push_back(std::move(name));
    works.push_back({0, std::move(run)});
  }
  // The JSON object of all seconds.
  std::string Seconds(const Effort& effort) const {
    const std::vector<double> best = Race(works, effort);
    std::string text;
    for (size_t i = 0; i < best.size(); ++i)
      text += fmt::format("{}\"{}\":{:.4g}", text.empty() ? "" : ",", names[i], best[i]);
    return "{" + text + "}";
  }
};

std::string BytesOf(const IngotTensor& ours, const std::vector<std::unique_ptr<GgmlTensor>>& theirs) {
  std::string text = fmt::format("{{\"ingot\":{}", ours.info().plane_bytes);
  for (const auto& tensor : theirs) text += fmt::format(",\"{}\":{}", tensor->type_name(), tensor->bytes());
  return text + "}";
}

void Print(const Case& c, const char* what, const IngotTensor& ours, double values, const std::string& bytes,
           const std::string& check, const std::string& seconds) {
  const ingot_text encoding = ours.info().encoding;
  fmt::print(
      "{{\"tensor\":\"{}\",\"encoding\":\"{}\",\"what\":\"{}\",\"values\":{:.0f},\"check\":{},\"tensor_values\":{},"
      "\"tensor_bytes\":{},\"seconds\":{}}}\n",
      c.ingot, std::string(encoding.data, encoding.size), what, values, check, ours.values(), bytes, seconds);
  std::fflush(stdout);
}

// Values that differ, a NaN from itself not.
uint64_t Differences(const float* a, const float* b, uint64_t count) {
  uint64_t differ = 0;
  for (uint64_t i = 0; i < count; ++i)
    differ += std::memcmp(a + i, b + i, 4) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]));
  return differ;
}

// 16 K values of `rows` rows again and again, or all copies one after the other: 64 M values.
void Dequantize(const Case& c, const Options& options, bool in_cache) {
  constexpr uint64_t kInCache = 16384, kOutOfCache = 64 << 20;
  const IngotTensor one(options.ingot_file, c.ingot, 1, 1);
  const int copies = in_cache ? 1 : static_cast<int>(std::max<uint64_t>(1, kOutOfCache / one.values()));
  const IngotTensor ours(options.ingot_file, c.ingot, copies, 1);
  const uint64_t columns = ours.info().columns, rows = in_cache ? kInCache / columns : ours.info().rows;
  const uint64_t piece = rows * columns;
  auto* out = static_cast<float*>(HugeMemory(4 * piece * static_cast<uint64_t>(copies)));
  const auto each = [&](const auto& decode) {
    for (int i = 0; i < copies; ++i) decode(i, out + piece * static_cast<uint64_t>(i));
  };
  Contest contest;
  contest.Add("memset", [&, value = 0]() mutable {
    std::memset(out, value = value % 64 + 1, 4 * piece * static_cast<uint64_t>(copies));
  });
  contest.Add("ingot", [&] { each([&](int i, float* to) { ours.Decode(i, rows, to); }); });
  std::vector<std::unique_ptr<GgmlTensor>> all;
  std::string check = "null";
  for (const std::string& name : c.ggml) {
    all.push_back(std::make_unique<GgmlTensor>(options.gguf_file, name, copies));
    const GgmlTensor& theirs = *all.back();
    const RowFunction shipped = RowFunctionOf(theirs.type()),
                      native = RowFunctionOf(theirs.type(), options.native_base);
    const auto row_of = [&, piece](RowFunction row) {
      return [&, row] { each([&](int i, float* to) { row(theirs.data(i), to, static_cast<int64_t>(piece)); }); };
    };
    if (c.same()) {
      std::vector<float> a(piece), b(piece);
      ours.Decode(0, rows, a.data());
      shipped(theirs.data(0), b.data(), static_cast<int64_t>(piece));
      check = fmt::format("{{\"values\":{},\"differ\":{}}}", piece, Differences(a.data(), b.data(), piece));
    }
    contest.Add(fmt::format("{} shipped", theirs.type_name()), row_of(shipped));
    contest.Add(fmt::format("{} native", theirs.type_name()), row_of(native));
  }
  Print(c, in_cache ? "in cache" : "out of cache", ours, static_cast<double>(piece) * copies, BytesOf(ours, all), check,
        contest.Seconds(options.effort()));
}

// ||a - b|| / ||b||
double Distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) difference += std::pow(a[i] - b[i], 2), norm += std::pow(b[i], 2);
  return std::sqrt(difference / norm);
}

// All copies, which no cache holds, with one row of activations; or one with many.
void Multiply(const Case& c, const Options& options, uint64_t batch) {
  constexpr uint64_t kCold = 160 << 20;
  const IngotTensor one(options.ingot_file, c.ingot, 1, 1);
  const int copies = batch > 1 ? 1 : static_cast<int>(kCold / std::min<uint64_t>(one.info().plane_bytes, kCold)) + 1;
  const IngotTensor ours(options.ingot_file, c.ingot, copies, options.threads);
  const uint64_t rows = ours.info().rows, columns = ours.info().columns;
  std::vector<float> x(batch * columns), y(batch * rows);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  Contest contest;
  const std::pair<const char*, ingot_precision> precisions[] = {
      {"ingot int8", INGOT_PRECISION_INT8}, {"ingot int16", INGOT_PRECISION_INT16}, {"ingot f32", INGOT_PRECISION_F32}};
  for (const auto& precision : precisions) {
    contest.Add(precision.first, [&, how = precision.second] {
      for (int i = 0; i < copies; ++i) ours.Multiply(i, how, x.data(), batch, y.data());
    });
  }
  ours.Multiply(0, INGOT_PRECISION_INT8, x.data(), batch, y.data());
  const std::vector<float> first = y;
  std::vector<std::unique_ptr<GgmlTensor>> all;
  std::vector<std::unique_ptr<GgmlProducts>> products;
  std::string check = "null";
  for (const std::string& name : c.ggml) {
    all.push_back(std::make_unique<GgmlTensor>(options.gguf_file, name, copies));
    for (const bool repack : {false, true}) {
      products.push_back(std::make_unique<GgmlProducts>(*all.back(), x.data(), batch, options.threads, repack));
      const GgmlProducts& theirs = *products.back();
      if (!theirs.possible()) continue;
      if (c.same()) {  // both round activations to 8 bits, each in its way
        const double distance = Distance(first, theirs.Result());
        if (!(distance < 0.05)) Fail(fmt::format("{}: products differ by {:.3g}", name, distance));
        check = fmt::format("{{\"distance\":{:.3g}}}", distance);
      }
      contest.Add(fmt::format("{} {}", all.back()->type_name(), repack ? "repacked" : "shipped"),
                  [&] { theirs.Run(); });
    }
  }
  const std::string what = batch == 1 ? "1 row, cold" : fmt::format("{} rows", batch);
  Print(c, what.c_str(), ours, static_cast<double>(ours.values()) * copies * static_cast<double>(batch),
        BytesOf(ours, all), check, contest.Seconds(options.effort()));
}

Case Parse(const std::string& text) {
  Case c;
  size_t at = text.find('=');
  c.ingot = text.substr(0, at);
  while (at != std::string::npos) {
    const size_t next = text.find(',', at + 1);
    c.ggml.push_back(text.substr(at + 1, next == std::string::npos ? next : next - at - 1));
    at = next;
  }
  return c;
}

}  // namespace
}  // namespace side

int main(int argc, char** argv) {
  using namespace side;
  if (argc != 8) Fail("driver dequantize|products SECONDS THREADS NATIVE_GGML_BASE INGOT_FILE GGUF_FILE TENSOR=TENSOR");
  const Options options{argv[1], std::atof(argv[2]), std::atoi(argv[3]), argv[4], argv[5], argv[6]};
  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  const Case c = Parse(argv[7]);
  if (options.mode == "dequantize") {
    for (const bool in_cache : {true, false}) Dequantize(c, options, in_cache);
  } else {
    for (const uint64_t batch : {1, 32, 512}) Multiply(c, options, batch);
  }
  return 0;
}

// How fast rows are quantized: bytes of f16 source per second on one thread, beside memcpy in the same run.
//   build/quantize_bench [rows] [cols]      INGOT_TARGET forces a SIMD target
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "convert/quantize/group_quantizer.h"
#include "format/bytes.h"
#include "kernels/pack.h"
#include "kernels/targets.h"
#include "kernels/widen.h"

namespace {

using namespace ingot;

// The best of some runs, in GB of f16 source per second.
template <typename Work>
double Speed(uint64_t source_bytes, const Work& work) {
  double best = 0;
  const auto start = std::chrono::steady_clock::now();
  do {
    const auto begin = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, static_cast<double>(source_bytes) / seconds.count() / 1e9);
  } while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(400));
  return best;
}

struct Data {
  uint64_t rows, cols;
  std::vector<std::byte> source;
  uint64_t size() const { return rows * cols * 2; }
};

constexpr uint64_t kBlock = 8;  // rows at a time: they stay in the cache from step to step

// Widen, quantize and pack, as the converter does.
double Convert(const Data& data, const Method& method) {
  TensorStats stats(method, DType::kF16, data.rows, data.cols);
  std::vector<float> values(kBlock * data.cols);
  while (stats.NeedsPass()) {
    for (uint64_t r = 0; r < data.rows; r += kBlock) {
      WidenToF32(DType::kF16, data.source.data() + r * data.cols * 2, kBlock * data.cols, values.data());
      stats.AddRows(values.data(), kBlock);
    }
    stats.EndPass();
  }
  const auto quantizer = GroupQuantizer::Create(method, DType::kF16, data.cols, stats.fit());
  QuantizedRows out;
  std::vector<std::vector<std::byte>> planes;
  for (int width : FieldWidths(method.bits)) planes.emplace_back(data.rows * PackedRowBytes(data.cols, width));
  return Speed(data.size(), [&] {
    for (uint64_t r = 0; r < data.rows; r += kBlock) {
      WidenToF32(DType::kF16, data.source.data() + r * data.cols * 2, kBlock * data.cols, values.data());
      if (!quantizer->Quantize(values.data(), r, kBlock, out)) std::abort();
      for (uint64_t i = 0; i < kBlock; ++i) {
        std::byte* rows[kMaxFields];
        size_t fields = 0;
        for (auto& plane : planes) rows[fields++] = plane.data() + (r + i) * (plane.size() / data.rows);
        PackRow(out.codes.data() + i * data.cols, data.cols, method.bits, {rows, fields});
      }
    }
  });
}

// One pass of the statistics of a method; for two-pass methods the first.
double Statistics(const Data& data, const Method& method) {
  std::vector<float> values(kBlock * data.cols);
  return Speed(data.size(), [&] {
    TensorStats stats(method, DType::kF16, data.rows, data.cols);
    for (uint64_t r = 0; r < data.rows; r += kBlock) {
      WidenToF32(DType::kF16, data.source.data() + r * data.cols * 2, kBlock * data.cols, values.data());
      stats.AddRows(values.data(), kBlock);
    }
    stats.EndPass();
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (auto status = SetTargetFromEnvironment(); !status) return fmt::print(stderr, "{}\n", status.error().message), 2;
  Data data{argc > 1 ? std::strtoull(argv[1], nullptr, 10) / kBlock * kBlock : 4096,
            argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4096,
            {}};
  data.source.resize(data.size());
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (uint64_t i = 0; i < data.rows * data.cols; ++i) Store(data.source.data() + 2 * i, F32ToF16(normal(random)));
  std::vector<std::byte> copy(data.size());
  fmt::print("{} x {}, {}, GB/s of f16 source\n", data.rows, data.cols, ActiveTarget());
  fmt::print("{:28} {:6.2f}\n", "memcpy",
             Speed(data.size(), [&] { std::memcpy(copy.data(), data.source.data(), copy.size()); }));
  const auto variant = [](auto change) {
    Method m;  // 4 bits, groups of 128, integer zero-point, f16 scales
    m.kind = MethodKind::kLinear;
    change(m);
    return m;
  };
  const auto line = [&](const char* name, double speed) { fmt::print("{:28} {:6.2f}\n", name, speed); };
  for (int bits : {2, 3, 4, 8}) {
    line(fmt::format("{} bits, integer zero-point", bits).c_str(),
         Convert(data, variant([=](Method& m) { m.bits = bits; })));
  }
  line("4 bits, symmetric", Convert(data, variant([](Method& m) { m.zero_point = ZeroPointKind::kSymmetric; })));
  line("4 bits, float zero", Convert(data, variant([](Method& m) { m.zero_point = ZeroPointKind::kFloat; })));
  line("4 bits, g32", Convert(data, variant([](Method& m) { m.group_size = 32; })));
  line("4 bits, 1 % outliers", Convert(data, variant([](Method& m) { m.outlier_ratio = 0.01; })));
  line("4 bits, mse_clip", Convert(data, variant([](Method& m) { m.mse_clip = true; })));
  line("nf4, g64", Convert(data, variant([](Method& m) { m.kind = MethodKind::kNf4, m.group_size = 64; })));
  line("nf4, g64, mse_clip",
       Convert(data, variant([](Method& m) { m.kind = MethodKind::kNf4, m.group_size = 64, m.mse_clip = true; })));
  line("pass: range", Statistics(data, variant([](Method& m) { m.group_size = Method::kPerTensor; })));
  line("pass: outliers", Statistics(data, variant([](Method& m) { m.outlier_ratio = 0.01; })));
  line("pass: column norms",
       Statistics(data, variant([](Method& m) { m.outlier_ratio = 0.01, m.outlier_kind = OutlierKind::kColumns; })));
  return 0;
}

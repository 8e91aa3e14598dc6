// How fast packed matrices multiply: few rows of activations as a share of an 8-stream memory read of the packed bytes,
// many rows as a share of the FMA peak, all in one process. Arguments: targets by name; none: the best.
#include <fmt/core.h>
#include <sys/mman.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "kernels/product.h"
#include "kernels/targets.h"

namespace {

using namespace ingot;

std::byte* Memory(size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(at, bytes, MADV_HUGEPAGE);
  std::memset(at, 1, bytes);
  return static_cast<std::byte*>(at);
}

template <class Work>
double Seconds(const Work& work, int windows) {
  double best = 1e9;
  for (int i = 0; i < windows; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

using Vector = uint64_t __attribute__((vector_size(32)));
__attribute__((target("avx2"))) uint64_t ReadEightStreams(const std::byte* at, size_t size) {
  const size_t stream = (size / 8 - size_t{9} * 4096 - size_t{5} * 64) / 64 * 64;
  Vector sum = {};
  for (size_t i = 0; i < stream; i += 64) {
    for (size_t s = 0; s < 8; ++s) {
      for (size_t half = 0; half < 64; half += sizeof(Vector)) {
        Vector value;
        std::memcpy(&value, at + s * stream + i + half, sizeof value);
        sum ^= value;
      }
    }
  }
  return sum[0] ^ sum[1];
}

double ReadRate(const std::byte* at, size_t size, size_t threads) {
  volatile uint64_t sink = 0;
  const double s = Seconds(
      [&] {
        std::vector<std::thread> all;
        for (size_t t = 1; t < threads; ++t)
          all.emplace_back([&, t] { sink = sink + ReadEightStreams(at + size / threads * t, size / threads); });
        sink = sink + ReadEightStreams(at, size / threads);
        for (auto& t : all) t.join();
      },
      9);
  return static_cast<double>(size) / s;
}

// GFLOP/s of independent multiply-adds on one thread.
#define INGOT_FOUR(F, a, b, c, d) F(a) F(b) F(c) F(d)
#define INGOT_TWELVE(F) INGOT_FOUR(F, 0, 1, 2, 3) INGOT_FOUR(F, 4, 5, 6, 7) INGOT_FOUR(F, 8, 9, 10, 11)
#define INGOT_FMA256(n) "vfmadd213ps %%ymm14, %%ymm15, %%ymm" #n "\n\t"
#define INGOT_FMA512(n) "vfmadd213ps %%zmm14, %%zmm15, %%zmm" #n "\n\t"
constexpr int kTurns = 2000000;
double Peak256() {
  const double s = Seconds(
      [] {
        for (int i = 0; i < kTurns; ++i) {
          asm volatile(INGOT_TWELVE(INGOT_FMA256)::
                           : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                             "xmm11");
        }
      },
      9);
  return 12.0 * kTurns * 16 / s;
}
double Peak512() {
  const double s = Seconds(
      [] {
        for (int i = 0; i < kTurns; ++i) {
          asm volatile(INGOT_TWELVE(INGOT_FMA512)::
                           : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                             "xmm11");
        }
      },
      9);
  return 12.0 * kTurns * 32 / s;
}

struct Weights {
  Linear linear;
  std::vector<std::byte*> planes;
  std::vector<ByteSpan> spans;
  size_t bytes = 0;
};

Weights Make(int bits, uint64_t group, bool book, double outliers, uint64_t rows, uint64_t cols) {
  Weights w;
  Linear& l = w.linear;
  l.bits = bits, l.rows = rows, l.cols = cols, l.group_cols = group, l.codebook = book;
  l.s = Operand::Array(DType::kF16);
  if (!book) l.z = Operand::Constant(static_cast<float>(1 << (bits - 1)));
  const auto per_row = static_cast<uint64_t>(outliers * static_cast<double>(cols));
  if (per_row != 0)
    l.outliers = OutlierForm::kUnstructured, l.outlier_type = DType::kF16, l.outlier_count = per_row * rows;
  std::mt19937_64 random(1);
  for (const PlaneSpec& spec : PlanesOf(l, false)) {
    std::byte* plane = Memory(spec.size + 4096);
    for (size_t i = 0; i + 8 <= spec.size; i += 8) Store(plane + i, random());
    if (spec.role == PlaneRole::kScales) {
      for (size_t i = 0; i < spec.size; i += 2) Store(plane + i, F32ToF16(0.01f));
    } else if (spec.role == PlaneRole::kCodebook) {
      for (size_t i = 0; i < spec.size; i += 4) Store(plane + i, static_cast<float>(i) / 32 - 1);
    } else if (spec.role == PlaneRole::kOutlierRows) {
      for (uint64_t r = 0; r <= rows; ++r) Store(plane + 8 * r, r * per_row);
    } else if (spec.role == PlaneRole::kOutlierColumns) {
      for (uint64_t i = 0; i < spec.size / 2; ++i)
        Store(plane + 2 * i, static_cast<uint16_t>(i % per_row * (cols / per_row)));
    } else if (spec.role == PlaneRole::kOutlierValues) {
      for (uint64_t i = 0; i < spec.size / 2; ++i) Store(plane + 2 * i, F32ToF16(0.5f));
    }
    w.planes.push_back(plane);
    w.spans.push_back({plane, spec.size});
    w.bytes += spec.size;
  }
  return w;
}

void Free(const Weights& w) {
  for (size_t i = 0; i < w.planes.size(); ++i) munmap(w.planes[i], w.spans[i].size() + 4096);
}

void Vectors(double read1, double read2) {
  constexpr uint64_t kCols = 4096;
  for (const auto& [bits, group, book, outliers] :
       std::vector<std::tuple<int, uint64_t, bool, double>>{{8, 128, false, 0},
                                                            {4, 128, false, 0},
                                                            {3, 128, false, 0},
                                                            {2, 128, false, 0},
                                                            {6, 128, false, 0},
                                                            {4, 32, false, 0},
                                                            {4, 64, true, 0},
                                                            {4, 128, false, 0.01}}) {
    const uint64_t rows = 256 * 1024 / static_cast<uint64_t>(bits);  // 128 MiB of codes
    const Weights w = Make(bits, group, book, outliers, rows, kCols);
    const auto m = EncodedMatrix::Make(w.linear, false, w.spans, {});
    std::vector<float> x(kCols, 0.5f), y(rows);
    std::string line =
        fmt::format("  {}-bit g{}{}{}:", bits, group, book ? " book" : "", outliers != 0 ? " 1% outliers" : "");
    for (const Precision precision : {Precision::kInt8, Precision::kInt16, Precision::kF32}) {
      for (const int threads : {1, 2}) {
        tbb::task_arena arena(threads);
        Product p{x.data(), 1, kCols, y.data(), rows, precision, 6.0f, false};
        const double s = arena.execute([&] { return Seconds([&] { Multiply(m, {0, rows, 0, kCols}, p); }, 5); });
        const double rate = static_cast<double>(w.bytes) / s;
        line += fmt::format(" {} {:.1f} ({:.2f})",
                            threads == 1 ? (precision == Precision::kInt8    ? "int8"
                                            : precision == Precision::kInt16 ? "int16"
                                                                             : "f32")
                                         : "/",
                            rate / 1e9, rate / (threads == 1 ? read1 : read2));
      }
    }
    fmt::print("{}\n", line);
    Free(w);
  }
}

void Matrices(double peak) {
  constexpr uint64_t kSize = 4096;
  for (const int bits : {4, 8}) {
    const Weights w = Make(bits, 128, false, 0, kSize, kSize);
    const auto m = EncodedMatrix::Make(w.linear, false, w.spans, {});
    for (const uint64_t batch : {32, 512}) {
      std::vector<float> x(batch * kSize), y(batch * kSize);
      std::mt19937 random(3);
      for (float& v : x) v = static_cast<float>(random() % 2000) / 1000.0f - 1;
      for (uint64_t c = 0; c < kSize; c += 200) x[c] = 20;  // 0.5 % of the columns
      std::string line = fmt::format("  {}-bit, batch {}:", bits, batch);
      for (const Precision precision : {Precision::kF32, Precision::kInt8, Precision::kLlmInt8}) {
        for (const int threads : {1, 2}) {
          tbb::task_arena arena(threads);
          Product p{x.data(), batch, kSize, y.data(), kSize, precision, 6.0f, false};
          const double s = arena.execute([&] {
            return Seconds([&] { Multiply(m, {0, kSize, 0, kSize}, p); }, batch == 32 ? 5 : 3);
          });
          const double rate = 2.0 * kSize * kSize * static_cast<double>(batch) / s;
          line += fmt::format(" {} {:.0f} ({:.2f})",
                              threads == 1 ? (precision == Precision::kInt8  ? "int8"
                                              : precision == Precision::kF32 ? "f32"
                                                                             : "llm.int8")
                                           : "/",
                              rate / 1e9, rate / peak / threads);
        }
      }
      fmt::print("{}\n", line);
    }
    Free(w);
  }
}

}  // namespace

int main(int argc, char** argv) {
  constexpr size_t kBytes = size_t{1} << 30;
  std::byte* memory = Memory(kBytes);
  const double read1 = ReadRate(memory, kBytes, 1), read2 = ReadRate(memory, kBytes, 2);
  munmap(memory, kBytes);
  fmt::print("memory read, 8 streams: {:.1f} GB/s, {:.1f} on two threads\n", read1 / 1e9, read2 / 1e9);
  std::vector<std::string> targets(argv + 1, argv + argc);
  if (targets.empty()) targets.emplace_back("");
  for (const std::string& target : targets) {
    if (!SetTarget(target)) return 2;
    const bool wide = ActiveTarget().substr(0, 4) == "AVX3";
    const double peak = wide ? Peak512() : Peak256();
    fmt::print("{}, FMA peak {:.0f} GFLOP/s\n", ActiveTarget(), peak / 1e9);
    Vectors(read1, read2);
    Matrices(peak);
  }
}

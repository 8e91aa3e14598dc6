// How fast encodings decode, as a share of memset in the same process: in cache (16 K values) and out of it (64 M).
// Arguments: targets by name; none: the best. Prints a line a case.
#include <fmt/core.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "kernels/decode.h"
#include "kernels/targets.h"

namespace {

using namespace ingot;

struct Case {
  std::string name;
  Linear linear;
  std::vector<std::vector<std::byte>> planes;
};

Case Make(const std::string& name, int bits, uint64_t group, bool codebook, bool zero, uint64_t rows, uint64_t cols) {
  Case c;
  c.name = name;
  Linear& l = c.linear;
  l.bits = bits, l.rows = rows, l.cols = cols, l.group_cols = group, l.codebook = codebook;
  l.s = Operand::Array(DType::kF16);
  if (zero) l.z = Operand::Array(DType::kF16);
  std::mt19937_64 random(1);
  for (const PlaneSpec& spec : PlanesOf(l, false)) {
    std::vector<std::byte> plane(spec.size);
    if (spec.role == PlaneRole::kCodes) {
      for (size_t i = 0; i + 8 <= plane.size(); i += 8) Store(plane.data() + i, random());
    } else if (spec.role == PlaneRole::kCodebook) {
      for (size_t i = 0; i < plane.size(); i += 4) Store(plane.data() + i, static_cast<float>(random() % 100) - 50);
    } else {
      for (size_t i = 0; i < plane.size(); i += 2) Store(plane.data() + i, F32ToF16(static_cast<float>(random() % 9)));
    }
    c.planes.push_back(std::move(plane));
  }
  return c;
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

std::byte* Memory(size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(at, bytes, MADV_HUGEPAGE);
  std::memset(at, 1, bytes);
  return static_cast<std::byte*>(at);
}

void Run(uint64_t rows, uint64_t cols, bool large, std::byte* out) {
  const uint64_t count = rows * cols;
  const int repeat = large ? 1 : 50, windows = large ? 7 : 200;
  const auto memset_rate = [&](size_t bytes) {
    return static_cast<double>(bytes) * repeat /
           Seconds(
               [&] {
                 for (int i = 0; i < repeat; ++i) {
                   std::memset(out, 1 + i, bytes);
                   asm volatile("" ::: "memory");
                 }
               },
               windows);
  };
  const double m32 = memset_rate(count * 4), m16 = memset_rate(count * 2);
  fmt::print("{} values; memset {:.1f} GB/s ({:.1f} of half)\n", count, m32 / 1e9, m16 / 1e9);
  std::vector<Case> cases;
  for (int bits : {1, 2, 3, 4, 5, 6, 7, 8})
    cases.push_back(Make(fmt::format("{}-bit g128 z", bits), bits, 128, false, true, rows, cols));
  for (int bits : {2, 3, 4, 8})
    cases.push_back(Make(fmt::format("{}-bit g32", bits), bits, 32, false, false, rows, cols));
  cases.push_back(Make("nf4 g64", 4, 64, true, false, rows, cols));
  cases.push_back(Make("8-bit book g128", 8, 128, true, false, rows, cols));
  cases.push_back(Make("4-bit g16", 4, 16, false, true, rows, cols));
  for (const Case& c : cases) {
    const auto m = EncodedMatrix::Make(c.linear, false, {c.planes.begin(), c.planes.end()}, {});
    std::string line = fmt::format("  {:16}", c.name);
    for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const size_t size = InfoOf(type).size;
      const double s = Seconds(
          [&] {
            for (int i = 0; i < repeat; ++i) {
              DecodeTo(m, 0, count, type, out, large);
              asm volatile("" ::: "memory");
            }
          },
          windows);
      const double rate = static_cast<double>(count * size) * repeat / s;
      line += fmt::format("  {} {:5.1f} ({:.2f})", InfoOf(type).name, rate / 1e9, rate / (size == 4 ? m32 : m16));
    }
    if (large) {
      const double s = Seconds(
          [&] {
            std::thread other([&] { DecodeTo(m, count / 2, count / 2, DType::kF32, out + count * 2, true); });
            DecodeTo(m, 0, count / 2, DType::kF32, out, true);
            other.join();
          },
          windows);
      line += fmt::format("  2 threads {:.1f}", static_cast<double>(count * 4) / s / 1e9);
    }
    fmt::print("{}\n", line);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::byte* out = Memory(size_t{256} << 20);
  std::vector<std::string> targets(argv + 1, argv + argc);
  if (targets.empty()) targets.emplace_back("");
  for (const std::string& target : targets) {
    if (!SetTarget(target)) return 2;
    fmt::print("{}\n", ActiveTarget());
    Run(4, 4096, false, out);
    Run(16384, 4096, true, out);
  }
}

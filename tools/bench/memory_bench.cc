// What the machine's memory can do: the yardsticks that other figures are a share of. Prints GB/s (1e9 bytes) as JSON,
// best of nine.
#include <fmt/core.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

namespace {

constexpr size_t kBytes = size_t{1} << 30;

// Reads `size` bytes from eight places at once, as several rows of a matrix are read. The places are not a power of two
// apart: those would meet in the same sets of the caches, which costs a third.
template <typename Vector>
[[gnu::always_inline]] inline uint64_t ReadEightStreams(const char* at, size_t size) {
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

using Vector16 = uint64_t __attribute__((vector_size(16)));
using Vector32 = uint64_t __attribute__((vector_size(32)));
uint64_t ReadBaseline(const char* at, size_t size) { return ReadEightStreams<Vector16>(at, size); }
#ifdef __x86_64__
__attribute__((target("avx2"))) uint64_t ReadAvx2(const char* at, size_t size) {
  return ReadEightStreams<Vector32>(at, size);
}
uint64_t (*const Read)(const char*, size_t) = __builtin_cpu_supports("avx2") ? &ReadAvx2 : &ReadBaseline;
#else
uint64_t (*const Read)(const char*, size_t) = &ReadBaseline;
#endif

double Best(const std::function<void(size_t begin, size_t size)>& work, size_t threads) {
  double best = 0;
  for (int run = 0; run < 9; ++run) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> all;
    for (size_t t = 0; t < threads; ++t) all.emplace_back(work, kBytes / threads * t, kBytes / threads);
    for (std::thread& thread : all) thread.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(kBytes) / 1e9 / seconds);
  }
  return best;
}

}  // namespace

int main() {
  char* memory[2];
  for (char*& m : memory) {
    m = static_cast<char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (m == MAP_FAILED) return 4;
    madvise(m, kBytes, MADV_HUGEPAGE);
    std::memset(m, 1, kBytes);
  }
  volatile uint64_t sink = 0;
  const auto read = [&](size_t begin, size_t size) { sink = sink ^ Read(memory[0] + begin, size); };
  const auto copy = [&](size_t begin, size_t size) { std::memcpy(memory[1] + begin, memory[0] + begin, size); };
  const auto set = [&](size_t begin, size_t size) { std::memset(memory[0] + begin, 2, size); };
  fmt::print("{{\"read\":[{:.2f},{:.2f}],", Best(read, 1), Best(read, 2));
  fmt::print("\"memcpy\":[{:.2f},{:.2f}],", Best(copy, 1), Best(copy, 2));
  fmt::print("\"memset\":[{:.2f},{:.2f}]}}\n", Best(set, 1), Best(set, 2));
  return 0;
}

#include "tools/bench/yardsticks.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>

namespace ingot::bench {
namespace {

// What nobody may optimize away.
std::atomic<uint64_t> sink{0};
void CannotTell() { asm volatile("" ::: "memory"); }

// The places are not a power of two apart: those would meet in the same sets of the caches, which costs a third.
size_t StreamBytes(size_t size) {
  const size_t apart = size / 8 / 64 * 64, odd = size_t{9} * 4096 + size_t{5} * 64;
  return apart > 64 * odd ? apart - odd : apart;
}

template <typename Vector>
[[gnu::always_inline]] inline uint64_t ReadEight(const std::byte* at, size_t size) {
  const size_t stream = StreamBytes(size);
  Vector sum = {};
  for (size_t i = 0; i < stream; i += 64) {
    for (size_t s = 0; s < 8; ++s) {
      for (size_t part = 0; part < 64; part += sizeof(Vector)) {
        Vector value;
        std::memcpy(&value, at + s * stream + i + part, sizeof value);
        sum ^= value;
      }
    }
  }
  return sum[0] ^ sum[1];
}

using Vector16 = uint64_t __attribute__((vector_size(16)));
uint64_t ReadBaseline(const std::byte* at, size_t size) { return ReadEight<Vector16>(at, size); }

constexpr int kTurns = 20000;  // of the loop of multiply-adds
constexpr int kChains = 12;    // in each turn, none waiting for another
using Floats = float __attribute__((vector_size(16)));
double MultiplyAddBaseline() {
  Floats sums[kChains] = {}, x = {0.5f, 0.5f, 0.5f, 0.5f}, y = x;
  for (int i = 0; i < kTurns; ++i) {
    asm volatile("" : "+m"(x), "+m"(y));
    for (Floats& sum : sums) sum = sum * x + y;
  }
  for (const Floats& sum : sums) sink.fetch_xor(static_cast<uint64_t>(sum[0]), std::memory_order_relaxed);
  return 2.0 * kChains * kTurns * 4;
}

#ifdef __x86_64__
using Vector32 = uint64_t __attribute__((vector_size(32)));
__attribute__((target("avx2"))) uint64_t ReadAvx2(const std::byte* at, size_t size) {
  return ReadEight<Vector32>(at, size);
}
uint64_t (*const Read)(const std::byte*, size_t) = __builtin_cpu_supports("avx2") ? &ReadAvx2 : &ReadBaseline;

#define INGOT_FOUR(F, a, b, c, d) F(a) F(b) F(c) F(d)
#define INGOT_TWELVE(F) INGOT_FOUR(F, 0, 1, 2, 3) INGOT_FOUR(F, 4, 5, 6, 7) INGOT_FOUR(F, 8, 9, 10, 11)
#define INGOT_FMA256(n) "vfmadd213ps %%ymm14, %%ymm15, %%ymm" #n "\n\t"
#define INGOT_FMA512(n) "vfmadd213ps %%zmm14, %%zmm15, %%zmm" #n "\n\t"
#define INGOT_ZERO(n) "vxorps %%xmm" #n ", %%xmm" #n ", %%xmm" #n "\n\t"
#define INGOT_FMA_LOOP(F)                                                                                       \
  uint64_t turns = kTurns;                                                                                      \
  asm volatile(INGOT_TWELVE(INGOT_ZERO) INGOT_ZERO(14)                                                          \
                   INGOT_ZERO(15) "1:\n\t" INGOT_TWELVE(F) "dec %0\n\tjnz 1b\n\tvzeroupper"                     \
               : "+r"(turns)                                                                                    \
               :                                                                                                \
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
                 "xmm11", "xmm14", "xmm15")
double MultiplyAdd256() {
  INGOT_FMA_LOOP(INGOT_FMA256);
  return 2.0 * kChains * kTurns * 8;
}
double MultiplyAdd512() {
  INGOT_FMA_LOOP(INGOT_FMA512);
  return 2.0 * kChains * kTurns * 16;
}
// Returns the operations that it did.
double (*const MultiplyAdd)() = __builtin_cpu_supports("avx512f") ? &MultiplyAdd512
                                : __builtin_cpu_supports("fma")   ? &MultiplyAdd256
                                                                  : &MultiplyAddBaseline;
#else
uint64_t (*const Read)(const std::byte*, size_t) = &ReadBaseline;
double (*const MultiplyAdd)() = &MultiplyAddBaseline;
#endif

// Thread t's piece of `bytes`.
struct Piece {
  size_t begin, size;
  Piece(size_t bytes, int threads, size_t t)
      : begin(bytes / static_cast<size_t>(threads) * t), size(bytes / static_cast<size_t>(threads)) {}
};

}  // namespace

Memory::Memory(size_t bytes) : size_(bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  madvise(at, bytes, MADV_HUGEPAGE);
  std::memset(at, 1, bytes);
  at_ = static_cast<std::byte*>(at);
}

Memory::~Memory() {
  if (at_ != nullptr) munmap(at_, size_);
}

void Team::ForEach(const std::function<void(size_t)>& piece) const {
  if (threads() == 1) return piece(0);
  const auto count = static_cast<size_t>(threads());
  pool_->Run([&] { tbb::parallel_for(size_t{0}, count, piece, tbb::static_partitioner()); });
}

Work Memset(std::byte* at, size_t bytes, const Team& team) {
  return {static_cast<double>(bytes), [=, value = 0]() mutable {
            value = value % 64 + 1;  // zero may be a special case of the processor
            team.ForEach([&](size_t t) {
              const Piece piece(bytes, team.threads(), t);
              std::memset(at + piece.begin, value, piece.size);
            });
            CannotTell();
          }};
}

Work Memcpy(std::byte* to, const std::byte* from, size_t bytes, const Team& team) {
  return {static_cast<double>(bytes), [=] {
            team.ForEach([&](size_t t) {
              const Piece piece(bytes, team.threads(), t);
              std::memcpy(to + piece.begin, from + piece.begin, piece.size);
            });
            CannotTell();
          }};
}

Work EightStreamRead(const std::byte* at, size_t bytes, const Team& team) {
  const size_t read = 8 * StreamBytes(Piece(bytes, team.threads(), 0).size) * static_cast<size_t>(team.threads());
  return {static_cast<double>(read), [=] {
            team.ForEach([&](size_t t) {
              const Piece piece(bytes, team.threads(), t);
              sink.fetch_xor(Read(at + piece.begin, piece.size), std::memory_order_relaxed);
            });
          }};
}

Work FmaPeak(const Team& team) {
  const double operations = MultiplyAdd() * team.threads();
  return {operations, [=] { team.ForEach([](size_t) { MultiplyAdd(); }); }};
}

std::vector<Task> YardstickTasks(const Bench& bench) {
  const size_t large = bench.quick() ? size_t{4} << 20 : size_t{256} << 20;
  const std::vector<int> alone = {1}, counts = bench.thread_counts();
  using Make = std::function<Work(const Team&)>;
  const auto row = [](std::string name, const std::vector<int>& threads, const char* unit, const Make& make) -> Task {
    return [=](Bench& into) -> Status {
      const Work one = make(Team(1));
      for (int n : threads)
        into.AddRate({"yardsticks", name, ThreadsText(n), "itself on 1 thread"}, make(Team(n)), one, unit);
      return {};
    };
  };
  const auto a = std::make_shared<const Memory>(large), b = std::make_shared<const Memory>(large);
  const Make small = [a](const Team& team) { return Memset(a->data(), 64 << 10, team); };
  const Make set = [a](const Team& team) { return Memset(a->data(), a->size(), team); };
  const Make copy = [a, b](const Team& team) { return Memcpy(b->data(), a->data(), a->size(), team); };
  const Make read = [a](const Team& team) { return EightStreamRead(a->data(), a->size(), team); };
  const std::string size = fmt::format(", {} MiB", large >> 20);
  return {row("memset, 64 KiB", alone, "GB/s", small), row("memset" + size, counts, "GB/s", set),
          row("memcpy" + size, counts, "GB/s", copy), row("8-stream memory read" + size, counts, "GB/s", read),
          row("f32 multiply-adds", counts, "GFLOP/s", &FmaPeak)};
}

}  // namespace ingot::bench

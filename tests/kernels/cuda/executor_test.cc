// The executor itself: small kernels that are right give the right result in any order of the threads, and each way of
// being wrong is found: what the tests of the real kernels rely on.
#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda/primitives.cuh"
#include "tests/simt/executor.h"

namespace ingot::cuda {
namespace {

constexpr unsigned kThreads = 64;

// ---- the kernels

// The sum of a block's values by way of shared memory; `kBarrier`: with the barrier that it needs.
template <bool kBarrier>
INGOT_KERNEL(kThreads, 1)
SumOfBlock(const uint32_t* in, uint32_t* out) {
  INGOT_SHARED(uint32_t, values, kThreads);
  const uint32_t i = ThreadIndex();
  StoreShared(values + i, LoadGlobal<uint32_t>(in + BlockIndex() * kThreads + i));
  if (kBarrier) BlockBarrier();
  if (i != 0) return;
  uint32_t sum = 0;
  for (uint32_t k = 0; k < kThreads; ++k) sum += LoadShared(values + k);
  StoreGlobal(out + BlockIndex(), sum);
}

// The sum of a warp's values by shuffles; `distance`: the first one, 16 if it is right.
INGOT_KERNEL(kThreads, 1) SumOfWarp(const uint32_t* in, uint32_t* out, uint32_t distance) {
  uint32_t sum = LoadGlobal<uint32_t>(in + ThreadIndex());
  for (uint32_t d = distance; d > 0; d /= 2) sum += ShuffleXor(sum, d);
  StoreGlobal(out + ThreadIndex(), sum);
}

// Each thread copies 16 bytes to shared memory without waiting and back; kWait, kBarrier: with what that needs.
template <bool kWait, bool kBarrier, bool kOwn>
INGOT_KERNEL(kThreads, 1)
CopyThere(const uint32_t* in, uint32_t* out) {
  INGOT_SHARED(Words4, values, kThreads);
  const uint32_t i = ThreadIndex(), from = kOwn ? i : kThreads - 1 - i;
  CopyAsync16(values + i, in + 4 * i);
  CommitCopies();
  if (kWait) WaitForCopies<0>();
  if (kBarrier) BlockBarrier();
  StoreGlobal(out + 4 * from, LoadShared(values + from));
  if (!kWait) WaitForCopies<0>();
}

// ---- how they are run

std::vector<uint32_t> Numbers(size_t count) {
  std::vector<uint32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 1u);
  return numbers;
}

struct Bench {
  std::vector<uint32_t> in = Numbers(4 * kThreads), out = std::vector<uint32_t>(4 * kThreads);
  simt::Memory memory;
  Bench() {
    memory.LendReadOnly(in.data(), in.size() * 4, "in");
    memory.Lend(out.data(), out.size() * 4, "out");
  }
  template <class Kernel>
  std::string Run(const Kernel& kernel, unsigned grid = 1, unsigned seed = 0, unsigned block = kThreads) {
    return simt::Launch(memory, {.grid = grid, .block = block, .seed = seed}, kernel).error;
  }
  template <class Kernel>
  bool FindsInAnyOrder(const Kernel& kernel, const char* what) {
    for (unsigned seed = 0; seed < 4; ++seed) {
      if (Run(kernel, 1, seed).find(what) == std::string::npos) return false;
    }
    return true;
  }
};

bool Has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST_CASE("kernels that are right, in several orders") {
  Bench b;
  for (unsigned seed = 0; seed < 6; ++seed) {
    CHECK(b.Run([&] { SumOfBlock<true>(b.in.data(), b.out.data()); }, 4, seed) == "");
    for (uint32_t block = 0; block < 4; ++block) CHECK(b.out[block] == 64 * 65 / 2 + 64 * 64 * block);
    CHECK(b.Run([&] { SumOfWarp(b.in.data(), b.out.data(), 16); }, 1, seed) == "");
    CHECK(b.out[5] == 32 * 33 / 2);
    CHECK(b.out[40] == 32 * 33 / 2 + 32 * 32);
    CHECK(b.Run([&] { CopyThere<true, true, false>(b.in.data(), b.out.data()); }, 1, seed) == "");
    CHECK(b.out == b.in);
    CHECK(b.Run([&] { CopyThere<true, false, true>(b.in.data(), b.out.data()); }, 1, seed) == "");
  }
}

TEST_CASE("a barrier that is missing is a race, in every order") {
  Bench b;
  CHECK(b.FindsInAnyOrder([&] { SumOfBlock<false>(b.in.data(), b.out.data()); }, "race"));
  CHECK(b.FindsInAnyOrder([&] { CopyThere<true, false, false>(b.in.data(), b.out.data()); }, "race"));
}

TEST_CASE("a barrier of the warp orders the lanes of a warp only") {
  Bench b;
  const auto pass_on = [&](uint32_t distance) {
    INGOT_SHARED(uint32_t, values, kThreads);
    const uint32_t i = ThreadIndex();
    StoreShared(values + i, i);
    WarpBarrier();
    StoreGlobal(b.out.data() + i, LoadShared(values + (i ^ distance)));
  };
  CHECK(b.Run([&] { pass_on(31); }) == "");
  CHECK(b.out[0] == 31);
  for (unsigned seed = 0; seed < 4; ++seed) CHECK(Has(b.Run([&] { pass_on(32); }, 1, seed), "race"));
}

TEST_CASE("a copy that was not waited for") {
  Bench b;
  CHECK(Has(b.Run([&] { CopyThere<false, false, true>(b.in.data(), b.out.data()); }), "still filling"));
  CHECK(Has(b.Run([&] {
    INGOT_SHARED(Words4, values, kThreads);
    CopyAsync16(values + ThreadIndex(), b.in.data() + 4 * ThreadIndex());
    CommitCopies();
  }),
            "nobody waited for"));
  // Two groups: waiting until one is left finishes the first, not the second.
  const auto two_groups = [&](bool all) {
    INGOT_SHARED(Words4, values, 2 * kThreads);
    const uint32_t i = ThreadIndex();
    CopyAsync16(values + i, b.in.data() + 4 * i);
    CommitCopies();
    CopyAsync16(values + kThreads + i, b.in.data() + 4 * i);
    CommitCopies();
    WaitForCopies<1>();
    StoreGlobal(b.out.data() + 4 * i, LoadShared(values + (all ? kThreads : 0) + i));
    WaitForCopies<0>();
  };
  CHECK(b.Run([&] { two_groups(false); }) == "");
  CHECK(Has(b.Run([&] { two_groups(true); }), "still filling"));
}

TEST_CASE("a wrong shuffle") {
  Bench b;
  CHECK(b.Run([&] { SumOfWarp(b.in.data(), b.out.data(), 8); }) == "");
  CHECK(b.out[0] != 32 * 33 / 2);  // runs, and gives another sum: what comparing with the reference finds
  CHECK(b.Run([&] {
    if (ThreadIndex() % 32 < 16) Shuffle(1, 0);
  }) != "");
  CHECK(Has(b.Run([&] { ThreadIndex() % 2 == 0 ? (void)Shuffle(1, 0) : WarpBarrier(); }), "meets its warp"));
  CHECK(Has(b.Run([&] { simt::Shuffle(0xFFFFu << 16, 1, 0); }), "not in the mask"));
  CHECK(Has(b.Run([&] {
    if (ThreadIndex() % 32 >= 16) simt::Shuffle(0xFFFFu << 16, 1, 3);
  }),
            "not in the mask"));
}

TEST_CASE("barriers that not all threads reach") {
  Bench b;
  for (unsigned seed = 0; seed < 4; ++seed) {
    CHECK(b.Run([] {
      if (ThreadIndex() < 32) BlockBarrier();
    }) != "");
    CHECK(b.Run([] { ThreadIndex() < 32 ? BlockBarrier() : (void)Shuffle(ThreadIndex() % 2, 0); }, 1, seed) != "");
    CHECK(Has(b.Run([] { ThreadIndex() % 2 == 0 ? BlockBarrier() : (void)Shuffle(0, 0); }, 1, seed), "deadlock"));
  }
}

TEST_CASE("accesses out of bounds") {
  Bench b;
  CHECK(Has(b.Run([&] { LoadGlobal<uint32_t>(b.in.data() + b.in.size()); }), "out of bounds"));
  CHECK(Has(b.Run([&] { LoadGlobal<Words4>(b.in.data() + b.in.size() - 2); }), "of global memory"));
  CHECK(Has(b.Run([&] { LoadGlobal<uint32_t>(b.in.data() - 1); }), "out of bounds"));
  CHECK(Has(b.Run([&] { StoreGlobal(b.out.data() + b.out.size(), 1u); }), "out of bounds"));
  CHECK(Has(b.Run([&] { StoreGlobal(b.in.data(), 1u); }), "only to be read"));
  CHECK(Has(b.Run([&] { LoadGlobal<Words2>(reinterpret_cast<std::byte*>(b.in.data()) + 4 + 8 * (ThreadIndex() & 1)); }),
            "aligned"));
  CHECK(Has(b.Run([&] { LoadGlobal<uint32_t>(nullptr); }), "no memory"));
  const auto shared = [&](uint32_t i) {
    INGOT_SHARED(uint32_t, values, 8);
    StoreShared(values + i, 1u);
  };
  CHECK(b.Run([&] { shared(7); }, 1, 0, 1) == "");
  CHECK(Has(b.Run([&] { shared(8); }, 1, 0, 1), "shared memory out of bounds"));
  CHECK(Has(b.Run([&] { CopyAsync16(b.out.data(), b.in.data()); }, 1, 0, 1), "shared memory"));
}

TEST_CASE("two threads that write the same place, also of two blocks") {
  Bench b;
  CHECK(Has(b.Run([&] { StoreGlobal(b.out.data(), 1u); }), "race"));
  CHECK(Has(b.Run([&] { StoreGlobal(b.out.data(), 1u); }, 2, 0, 1), "race"));
  CHECK(Has(b.Run([&] { StoreGlobal(b.out.data() + LoadGlobal<uint32_t>(b.out.data()), ThreadIndex()); }), "race"));
}

TEST_CASE("requests of warps are counted") {
  Bench b;
  const auto counts = [&](const auto& kernel) {
    return simt::Launch(b.memory, {.grid = 1, .block = 32, .count = true}, kernel).counts;
  };
  alignas(32) static std::byte memory[4096];
  b.memory.Lend(memory, sizeof memory, "aligned");
  const auto whole = counts([&] { LoadGlobal<uint32_t>(memory + 4 * ThreadIndex()); }).global_loads;
  CHECK(whole.count == 1);
  CHECK(whole.sectors == 4);
  CHECK(whole.whole == 4);
  CHECK(whole.bytes == 128);
  const auto strided = counts([&] { StoreGlobal(memory + 64 * ThreadIndex(), uint32_t{1}); }).global_stores;
  CHECK(strided.sectors == 32);
  CHECK(strided.whole == 0);
  const auto conflicts = [&](uint32_t stride) {
    return counts([&] {
             INGOT_SHARED(uint32_t, values, 1024);
             StoreShared(values + stride * ThreadIndex(), 1u);
           })
        .bank_conflicts;
  };
  CHECK(conflicts(1) == 0);
  CHECK(conflicts(2) == 1);
  CHECK(conflicts(32) == 31);
}

TEST_CASE("pairs of f16 are rounded once") {
  // All values of one, with some of another and a third: against f64, which holds products and most sums exactly.
  const uint16_t some[] = {0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xBC01,
                           0x3555, 0x6400, 0xE4FF, 0x7BFF, 0x7C00, 0x7E00};
  const auto same = [](uint16_t a, uint16_t b) {
    return a == b || ((a & 0x7FFFu) > 0x7C00u && (b & 0x7FFFu) > 0x7C00u);
  };
  for (uint32_t a = 0; a < 65536; a += 7) {
    for (uint16_t c : some) {
      const float x = F16ToF32(static_cast<uint16_t>(a)), y = F16ToF32(c);
      const uint32_t both = a | static_cast<uint32_t>(c) << 16, swapped = c | a << 16;
      REQUIRE(same(static_cast<uint16_t>(F16sMultiply(both, swapped)), F32ToF16(x * y)));
      REQUIRE(same(static_cast<uint16_t>(F16sSubtract(both, swapped) >> 16), F32ToF16(y - x)));
    }
  }
  // 1 + 2^-11 + 2^-24: rounding to f32 or f64 first is no harm here, to 12 bits first would be.
  CHECK(F16MultiplyAdd(0x3C01, 0x3C01, 0x0001) == 0x3C02);
  CHECK(F16MultiplyAdd(0x1000, 0x1000, 0x3C00) == 0x3C00);
  CHECK(F16MultiplyAdd(0x3C00, 0x1001, 0x3C00) == 0x3C01);  // just over half of the last place
  CHECK(F16MultiplyAdd(0x3C00, 0x1000, 0x3C00) == 0x3C00);  // half: to even
}

}  // namespace
}  // namespace ingot::cuda

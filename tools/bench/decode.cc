// How fast encodings decode, beside memset of as many bytes.
#include <fmt/format.h>

#include "format/dtype.h"
#include "kernels/decode.h"
#include "tools/bench/sections.h"
#include "tools/bench/synthetic.h"

namespace ingot::bench {
namespace {

constexpr uint64_t kColumns = 4096;
constexpr std::array kTypes = {DType::kF32, DType::kF16, DType::kBF16};
constexpr std::array kTypeNames = {"f32", "f16", "bf16"};

Task InCache(const MatrixSpec& spec) {
  return [spec](Bench& bench) -> Status {
    const SyntheticMatrix w(spec);
    const uint64_t count = spec.rows * spec.columns;
    const Memory out(4 * count);
    for (size_t i = 0; i < kTypes.size(); ++i) {
      const size_t bytes = count * InfoOf(kTypes[i]).size;
      const Work decode = {static_cast<double>(bytes), [&] { DecodeTo(w.matrix(), 0, count, kTypes[i], out.data()); }};
      bench.AddRate({"decode, in cache", spec.name(), kTypeNames[i], fmt::format("memset of {} KiB", bytes >> 10)},
                    decode, Memset(out.data(), bytes, Team(1)));
    }
    return {};
  };
}

// Thread t's share of the rows, with stores that pass the caches.
Work DecodeAll(const SyntheticMatrix& w, DType type, std::byte* out, const Team& team) {
  const Linear& l = w.matrix().linear;
  const uint64_t size = InfoOf(type).size, threads = static_cast<uint64_t>(team.threads());
  return {w.values() * static_cast<double>(size), [&w, &l, type, out, size, threads, team] {
            team.ForEach([&](size_t t) {
              const uint64_t begin = l.rows * t / threads * l.cols, end = l.rows * (t + 1) / threads * l.cols;
              DecodeTo(w.matrix(), begin, end - begin, type, out + begin * size, true);
            });
          }};
}

Task OutOfCache(const MatrixSpec& spec, const std::shared_ptr<const Memory>& out) {
  return [spec, out](Bench& bench) -> Status {
    const SyntheticMatrix w(spec);
    const char* section = "decode, out of cache";
    for (size_t i = 0; i < kTypes.size(); ++i) {
      const size_t bytes = spec.rows * spec.columns * InfoOf(kTypes[i]).size;
      bench.AddRate({section, spec.name(), kTypeNames[i], fmt::format("memset of {} MiB", bytes >> 20)},
                    DecodeAll(w, kTypes[i], out->data(), Team(1)), Memset(out->data(), bytes, Team(1)));
    }
    if (const int all = bench.thread_counts().back(); all > 1) {
      bench.AddRate({section, spec.name(), OnThreads("f32", all), "the same on 1 thread"},
                    DecodeAll(w, DType::kF32, out->data(), Team(all)), DecodeAll(w, DType::kF32, out->data(), Team(1)));
    }
    return {};
  };
}

}  // namespace

std::vector<MatrixSpec> DecodeSpecs(uint64_t rows) {
  std::vector<MatrixSpec> specs;
  MatrixSpec spec;
  spec.rows = rows, spec.columns = kColumns;
  for (int bits = 1; bits <= 9; ++bits) {  // 9: NF4
    for (uint64_t group : {128, 64, 32, 16, 0}) {
      spec.codebook = bits == 9, spec.bits = spec.codebook ? 4 : bits, spec.group = group;
      specs.push_back(spec);
    }
  }
  spec.codebook = false, spec.group = 128;
  for (Zero zero : {Zero::kConstant, Zero::kFloats}) {
    for (int bits : {2, 3, 4, 8}) {
      spec.bits = bits, spec.zero = zero;
      specs.push_back(spec);
    }
  }
  return specs;
}

std::vector<Task> DecodeTasks(const Bench& bench) {
  const uint64_t rows = bench.quick() ? 256 : 16384;
  const auto out = std::make_shared<const Memory>(rows * kColumns * 4);
  std::vector<Task> tasks;
  for (const MatrixSpec& spec : DecodeSpecs(4)) tasks.push_back(InCache(spec));
  for (const MatrixSpec& spec : DecodeSpecs(rows)) tasks.push_back(OutOfCache(spec, out));
  return tasks;
}

}  // namespace ingot::bench

// Uploads a file onto an emulated device beside memcpy, in one run: upload_bench [FILE]. Without FILE one of 512 MiB is
// made in the temporary folder. The device takes the time that memcpy takes, by the clock and not by a processor, as a
// GPU's copy engine does. Prints GB/s (1e9 bytes) as JSON, best of nine, the file in the page cache.
#include <fmt/core.h>
#include <sys/mman.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "runtime/device/upload.h"
#include "tests/support/emulated_device.h"
#include "tests/support/image_builder.h"

namespace {

using namespace ingot;

constexpr int kRuns = 9;

double SecondsOf(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// 16 tensors of 32 MiB.
void WriteFile(const std::string& path) {
  test::ImageBuilder image;
  IndexBuilder builder;
  std::mt19937_64 random(1);
  for (int t = 0; t < 16; ++t) {
    std::vector<std::byte> bytes(uint64_t{32} << 20);
    for (size_t i = 0; i < bytes.size(); i += 8) Store(bytes.data() + i, static_cast<uint64_t>(random()));
    const uint32_t encoding = builder.AddEncoding(EncodingKind::kRaw, {}, {image.Add(bytes)});
    builder.AddTensor(fmt::format("t{:02}", t), DType::kU8, {32, 1 << 20}, 0, {{32, encoding}});
  }
  std::ofstream(path, std::ios::binary) << AsText(image.Finish(builder));
}

// memcpy of the mapped file to other memory, a chunk at a time, by one thread; what it touches has been touched before.
double MemcpyRate(const std::string& path) {
  const auto file = File::OpenForReading(path);
  if (!file) return 0;
  const uint64_t size = file->size();
  void* from = mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, file->descriptor(), 0);
  void* to = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (from == MAP_FAILED || to == MAP_FAILED) return 0;
  madvise(to, size, MADV_HUGEPAGE);
  double best = 0;
  for (int run = 0; run <= kRuns; ++run) {  // the first one touches the memory
    const double seconds = SecondsOf([&] { std::memcpy(to, from, size); });
    if (run > 0) best = std::max(best, static_cast<double>(size) / seconds);
  }
  munmap(from, size), munmap(to, size);
  return best;
}

struct Measured {
  double rate = 0;
  UploadCounts counts;
};

Result<Measured> UploadRate(const std::string& path, double device_rate, VerifyMode verify, int threads) {
  Measured best;
  for (int run = 0; run < kRuns; ++run) {
    auto model = LoadedModel::Open(path, {true, verify, threads, 0});  // anew: nothing is verified yet
    if (!model) return Propagate(model);
    test::EmulatedOptions options;
    options.bytes_per_second = device_rate;
    options.moves_bytes = options.checks_sources = options.fills_memory = false;
    const auto device = std::make_shared<test::EmulatedDevice>(options);
    auto uploader = Uploader::Make(device, {threads, 2, uint64_t{16} << 20, {}});
    if (!uploader) return Propagate(uploader);
    std::vector<UploadRequest> all;
    for (uint32_t i = 0; i < (*model)->model().tensor_count(); ++i) all.push_back({i, {}});
    Result<std::vector<DeviceTensorPtr>> tensors;
    const double seconds = SecondsOf([&] { tensors = (*uploader)->UploadAll(**model, all); });
    if (!tensors) return Propagate(tensors);
    best.counts = (*uploader)->counts();
    best.rate = std::max(best.rate, static_cast<double>(best.counts.uploaded) / seconds);
  }
  return best;
}

int Run(const std::string& path) {
  const double memcpy_rate = MemcpyRate(path);
  fmt::print("{{\"memcpy\":{:.2f}", memcpy_rate / 1e9);
  const struct {
    const char* name;
    double device_rate;
    VerifyMode verify;
    int threads;
  } kCases[] = {{"unverified_1", memcpy_rate, VerifyMode::kOff, 1}, {"unverified_2", memcpy_rate, VerifyMode::kOff, 2},
                {"verified_1", memcpy_rate, VerifyMode::kLazy, 1},  {"verified_2", memcpy_rate, VerifyMode::kLazy, 2},
                {"fast_device_1", 0, VerifyMode::kLazy, 1},         {"fast_device_2", 0, VerifyMode::kLazy, 2}};
  for (const auto& c : kCases) {
    const auto measured = UploadRate(path, c.device_rate, c.verify, c.threads);
    if (!measured) return fmt::print(stderr, "{}\n", measured.error().message), 3;
    const auto bytes = static_cast<double>(measured->counts.uploaded);
    fmt::print(",\n \"{}\":{{\"rate\":{:.2f},\"of_memcpy\":{:.2f},\"copied\":{:.3f},\"hashed\":{:.3f}}}", c.name,
               measured->rate / 1e9, measured->rate / memcpy_rate, static_cast<double>(measured->counts.copied) / bytes,
               static_cast<double>(measured->counts.hashed) / bytes);
  }
  fmt::print("}}\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2) return 2;
  if (argc == 2) return Run(argv[1]);
  const std::string path = std::filesystem::temp_directory_path() / "ingot-upload-bench.ingot";
  WriteFile(path);
  const int code = Run(path);
  std::filesystem::remove(path);
  return code;
}

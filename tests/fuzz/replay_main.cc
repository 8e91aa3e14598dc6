// Runs a fuzz target without a fuzzing engine: over each file of the folders given, over its truncations and over
// single-byte mutations of it. Which ones is fixed, so that a failure comes back. An input that kills the target is
// kept as crash-replay in the current folder. INGOT_QUICK=1 tries a tenth.

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

namespace fs = std::filesystem;

constexpr size_t kTruncations = 500;      // a seed
constexpr size_t kMutations = 3000;       // a seed
constexpr size_t kMostBytes = 64u << 20;  // of all inputs made from one seed: a large one gets fewer
constexpr uint8_t kFlips[] = {0x01, 0x80, 0xFF, 0x10};

// What is running, for the message if it dies.
const uint8_t* g_data = nullptr;
size_t g_size = 0;
char g_what[512] = "nothing yet";

void Describe() {
  std::fprintf(stderr, "replay: died in %s; the input is kept in ./crash-replay\n", g_what);
  if (std::FILE* file = std::fopen("crash-replay", "wb")) {
    std::fwrite(g_data, 1, g_size, file);
    std::fclose(file);
  }
}

extern "C" void OnSignal(int signal) {
  Describe();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void InstallHandlers() {
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(Describe);
  } else {
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, OnSignal);
  }
  std::signal(SIGABRT, OnSignal);
}

// Runs one input from memory of exactly its size, so that a sanitizer sees a byte too many.
void RunOne(const std::vector<uint8_t>& bytes, size_t size) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[size]);
  if (size > 0) std::memcpy(exact.get(), bytes.data(), size);
  g_data = exact.get();
  g_size = size;
  LLVMFuzzerTestOneInput(exact.get(), size);
}

// Calls `use(i)` for about `most` of the numbers below `count`, evenly spread, with the first and the last among them.
template <typename Use>
size_t ForSome(size_t count, size_t most, Use&& use) {
  if (count == 0) return 0;
  const size_t picks = count <= most ? count : most;
  for (size_t k = 0; k < picks; ++k) use(picks == 1 ? 0 : k * (count - 1) / (picks - 1));
  return picks;
}

size_t RunSeed(const fs::path& path, size_t divisor) {
  std::ifstream in(path, std::ios::binary);
  std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::string name = path.string();
  const size_t by_size = kMostBytes / (bytes.size() + 1) + 1;
  std::snprintf(g_what, sizeof g_what, "%s", name.c_str());
  RunOne(bytes, bytes.size());
  size_t runs = 1;
  runs += ForSome(bytes.size(), std::min(kTruncations, by_size) / divisor + 1, [&](size_t size) {
    std::snprintf(g_what, sizeof g_what, "%s, cut to %zu bytes", name.c_str(), size);
    RunOne(bytes, size);
  });
  size_t count = 0;
  runs += ForSome(bytes.size(), std::min(kMutations, by_size) / divisor + 1, [&](size_t at) {
    const uint8_t kept = bytes[at], flip = kFlips[count++ % std::size(kFlips)];
    std::snprintf(g_what, sizeof g_what, "%s, byte %zu xor %#x", name.c_str(), at, static_cast<unsigned>(flip));
    bytes[at] ^= flip;
    RunOne(bytes, bytes.size());
    bytes[at] = kept;
  });
  return runs;
}

}  // namespace

int main(int argc, char** argv) {
  InstallHandlers();
  const char* quick = std::getenv("INGOT_QUICK");
  const size_t divisor = quick != nullptr && *quick != '\0' && *quick != '0' ? 10 : 1;
  size_t seeds = 0, runs = 0;
  for (int i = 1; i < argc; ++i) {
    if (!fs::exists(argv[i])) continue;
    std::vector<fs::path> files;
    if (fs::is_directory(argv[i])) {
      for (const fs::directory_entry& entry : fs::recursive_directory_iterator(argv[i])) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
    } else {
      files.emplace_back(argv[i]);
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) runs += RunSeed(file, divisor);
    seeds += files.size();
  }
  std::printf("%zu seeds, %zu inputs, no crash\n", seeds, runs);
  return seeds > 0 ? 0 : 1;  // a replay of nothing tests nothing
}

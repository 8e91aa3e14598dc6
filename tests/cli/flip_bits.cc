// No damage goes unnoticed: every bit of a file flipped, one at a time, and every length that it can be cut to.
//   flip_bits FILE...        with INGOT_QUICK=1 every 7th bit and length
// For each of them ValidateFile must find a violation. Opening must be refused (cut) or, where what a command reads is
// not what was damaged (flipped), every tensor must still decode to the same values. Exit status 1 names what went
// unnoticed.
#include <fcntl.h>
#include <fmt/core.h>
#include <tbb/global_control.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "format/hash.h"
#include "runtime/model.h"
#include "runtime/tensor_reader.h"
#include "runtime/validate.h"

namespace {

using namespace ingot;
namespace fs = std::filesystem;

constexpr uint64_t kQuickStep = 7;

struct Counts {
  uint64_t flips = 0, flips_refused = 0, cuts = 0;
  uint64_t failures = 0;

  void Add(const Counts& other) {
    flips += other.flips;
    flips_refused += other.flips_refused;
    cuts += other.cuts;
    failures += other.failures;
  }
};

void Complain(Counts& counts, const std::string& text) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (++counts.failures <= 10) fmt::print(stderr, "{}\n", text);
}

// A hash of all values that can be decoded, and of the errors where they cannot be by their kind: what a reader gets
// out of a file.
Result<Hash128> Contents(const std::string& path) {
  auto model = Model::Open(path);
  if (!model) return Propagate(model);
  std::vector<std::byte> hashes;
  std::vector<float> values;
  std::vector<std::byte> raw;
  for (uint32_t i = 0; i < (*model)->tensor_count(); ++i) {
    const TensorRecord record = (*model)->tensor(i);
    const bool foreign =
        DescribeTensor((*model)->container_of(i).index(), record).find("linear") == std::string::npos &&
        DescribeTensor((*model)->container_of(i).index(), record).find("raw") == std::string::npos;
    if (foreign) continue;  // cannot be decoded, damaged or not
    auto reader = TensorReader::Open(**model, i);
    if (!reader) return Propagate(reader);
    Hash128 hash;
    if (reader->is_raw()) {
      raw.resize(reader->element_count() * InfoOf(reader->dtype()).size);
      if (auto done = reader->ReadRaw(0, reader->element_count(), raw.data()); !done) return Propagate(done);
      hash = Xxh3_128(raw);
    } else {
      values.resize(reader->element_count());
      if (auto done = reader->Decode(0, values.size(), values.data()); !done) return Propagate(done);
      hash = Xxh3_128(std::as_bytes(std::span(values)));
    }
    const auto bytes = std::as_bytes(std::span(&hash, 1));
    hashes.insert(hashes.end(), bytes.begin(), bytes.end());
  }
  return Xxh3_128(hashes);
}

// A private copy of the file that one thread damages.
class Copy {
 public:
  Copy(const std::string& path, const std::vector<char>& bytes) : path_(path), bytes_(bytes) {
    descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    Write(0, bytes.data(), bytes.size());
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  ~Copy() {
    close(descriptor_);
    unlink(path_.c_str());
  }

  const std::string& path() const { return path_; }
  void Flip(uint64_t bit) {
    const char flipped = static_cast<char>(bytes_[bit / 8] ^ (1 << (bit % 8)));
    Write(bit / 8, &flipped, 1);
  }
  void Mend(uint64_t bit) { Write(bit / 8, &bytes_[bit / 8], 1); }
  void Cut(uint64_t size) {
    if (ftruncate(descriptor_, static_cast<off_t>(size)) != 0) std::abort();
  }

 private:
  void Write(uint64_t offset, const char* data, size_t size) {
    if (pwrite(descriptor_, data, size, static_cast<off_t>(offset)) != static_cast<ssize_t>(size)) std::abort();
  }
  std::string path_;
  const std::vector<char>& bytes_;
  int descriptor_;
};

// True if the file is found to be damaged.
bool IsInvalid(const Copy& copy, const std::string& what, Counts& counts) {
  auto validation = ValidateFile(copy.path());
  if (!validation) {
    Complain(counts, fmt::format("{}: validate gives an error, not a violation: {}", what, validation.error().message));
  } else if (validation->valid()) {
    Complain(counts, fmt::format("{}: still valid", what));
  }
  return validation && !validation->valid();
}

void FlipBits(Copy& copy, uint64_t first, uint64_t last, uint64_t step, const Hash128& contents, Counts& counts) {
  for (uint64_t bit = first; bit < last; bit += step) {
    const std::string what = fmt::format("bit {} of byte {} flipped", bit % 8, bit / 8);
    copy.Flip(bit);
    ++counts.flips;
    IsInvalid(copy, what, counts);
    auto got = Contents(copy.path());
    if (!got) {
      ++counts.flips_refused;
      if (got.error().code != ErrorCode::kBadInput)
        Complain(counts, fmt::format("{}: reading fails with {}: {}", what, static_cast<int>(got.error().code),
                                     got.error().message));
    } else if (*got != contents) {
      Complain(counts, fmt::format("{}: reads as other values", what));
    }
    copy.Mend(bit);
  }
}

// Lengths below `longest`, downwards.
void CutShort(Copy& copy, uint64_t longest, uint64_t step, Counts& counts) {
  for (uint64_t size = longest; size-- > 0;) {
    if (size % step != 0) continue;
    const std::string what = fmt::format("cut to {} bytes", size);
    copy.Cut(size);
    ++counts.cuts;
    IsInvalid(copy, what, counts);
    for (const auto& error : {[&]() -> std::optional<Error> {
                                auto r = Container::Open(copy.path());
                                return r ? std::nullopt : std::optional(r.error());
                              }(),
                              [&]() -> std::optional<Error> {
                                auto r = Model::Open(copy.path());
                                return r ? std::nullopt : std::optional(r.error());
                              }()}) {
      if (!error) {
        Complain(counts, fmt::format("{}: opens", what));
      } else if (error->code != ErrorCode::kBadInput) {
        Complain(counts,
                 fmt::format("{}: opening fails with {}: {}", what, static_cast<int>(error->code), error->message));
      }
    }
  }
}

std::vector<char> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Counts Check(const std::string& path, const fs::path& folder, uint64_t step) {
  const std::vector<char> bytes = ReadAll(path);
  const unsigned workers = std::max(1U, std::thread::hardware_concurrency());
  Counts total;
  const auto whole = ValidateFile(path);
  const auto contents = Contents(path);
  if (!whole || !whole->valid() || !whole->warnings.empty() || !contents) {
    Complain(total, fmt::format("{}: must be valid, without warnings and readable to begin with{}", path,
                                contents ? "" : ": " + contents.error().message));
    return total;
  }
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (unsigned w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      Copy copy(folder / fmt::format("copy-{}.ingot", w), bytes);
      Counts counts;
      FlipBits(copy, w * step, bytes.size() * 8, step * workers, *contents, counts);
      if (w == 0) CutShort(copy, bytes.size(), step, counts);
      const std::lock_guard lock(mutex);
      total.Add(counts);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  const char* quick = std::getenv("INGOT_QUICK");
  const uint64_t step = quick != nullptr && *quick != '\0' && *quick != '0' ? kQuickStep : 1;
  const tbb::global_control one_thread(tbb::global_control::max_allowed_parallelism,
                                       1);  // of the library; files are spread over threads here
  std::string name =
      fs::exists("/dev/shm") && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : fs::temp_directory_path().string();
  name += "/ingot-flip-bits-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) {
    fmt::print(stderr, "{}: cannot be made\n", name);
    return 2;
  }
  uint64_t failures = argc < 2;
  for (int i = 1; i < argc; ++i) {
    const Counts c = Check(argv[i], name, step);
    fmt::print("{}: {} bits flipped, {} of them seen when all tensors are read; cut to {} lengths; {} went unnoticed\n",
               fs::path(argv[i]).filename().string(), c.flips, c.flips_refused, c.cuts, c.failures);
    failures += c.failures;
  }
  fs::remove_all(name);
  return failures == 0 ? 0 : 1;
}

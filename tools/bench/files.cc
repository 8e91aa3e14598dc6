// How fast files are opened, everything in header and index validated, and how fast all their bytes are verified.
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "convert/file_finisher.h"
#include "format/encoding.h"
#include "runtime/loaded_model.h"
#include "runtime/validate.h"
#include "tools/bench/file_work.h"
#include "tools/bench/sections.h"
#include "tools/bench/synthetic.h"

namespace ingot::bench {
namespace {

// A fresh folder that goes away with it.
class TempFolder {
 public:
  static Result<std::shared_ptr<const TempFolder>> Create() {
    std::error_code error;
    std::string name = (std::filesystem::temp_directory_path(error) / "ingot-bench-XXXXXX").string();
    if (error || mkdtemp(name.data()) == nullptr)
      return Fail(ErrorCode::kIo, "{}: cannot make a temporary folder (TMPDIR says where)", name);
    return std::shared_ptr<const TempFolder>(new TempFolder(std::move(name)));
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  explicit TempFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

std::string TensorName(uint64_t i) { return fmt::format("model.layers.{}.mlp.weight", i); }

// A file of `count` raw F32 tensors of as many values each, in writes of at most `piece_size` bytes.
Status WriteFile(const std::string& path, uint64_t count, uint64_t values, uint64_t piece_size) {
  auto file = OutputFile::Create(path, false);
  if (!file) return Propagate(file);
  RegionAllocator allocator(kHeaderSize, kDefaultAlignment);
  IndexBuilder index;
  std::vector<std::byte> bytes(4 * values);
  Words words(1);
  for (uint64_t i = 0; i < count; ++i) {
    words.Fill(bytes.data(), bytes.size());
    WrittenPlane plane;
    plane.size = bytes.size(), plane.offset = allocator.Reserve(plane.size);
    for (uint64_t at = 0; at < bytes.size(); at += kChunkSize)
      plane.chunks.push_back(Xxh3_128(ByteSpan(bytes).subspan(at, std::min<uint64_t>(kChunkSize, bytes.size() - at))));
    for (uint64_t at = 0; at < bytes.size(); at += piece_size) {
      const ByteSpan piece = ByteSpan(bytes).subspan(at, std::min<uint64_t>(piece_size, bytes.size() - at));
      if (auto written = file->WriteAt(plane.offset + at, piece); !written) return written;
    }
    index.AddTensor(TensorName(i), DType::kF32, {values}, 0,
                    {{values, index.AddEncoding(EncodingKind::kRaw, {}, {plane})}});
  }
  if (auto finished = FinishFile(*file, allocator, index, kDefaultAlignment); !finished) return Propagate(finished);
  return file->Commit();
}

// Reads header and index into memory that is there, as a program could that checks nothing.
class IndexRead {
 public:
  static Result<Work> Create(const std::string& path) {
    const auto file = Container::Open(path);
    if (!file) return Propagate(file);
    const Header& header = (*file)->header();
    const auto memory = std::make_shared<const Memory>(kHeaderSize + header.index_size);
    return Work{static_cast<double>(memory->size()), [=] { Read(path, header, memory->data()); }};
  }

 private:
  static void Read(const std::string& path, const Header& header, std::byte* out) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    bool done = pread(file, out, kHeaderSize, 0) > 0;
    out += kHeaderSize;
    for (uint64_t at = 0; done && at < header.index_size;) {
      const auto got = pread(file, out + at, header.index_size - at, static_cast<off_t>(header.index_offset + at));
      done = got > 0;
      at += static_cast<uint64_t>(std::max<ssize_t>(got, 0));
    }
    close(file);
  }
};

// Opens the model, as ingot_model_open does, and reads one tensor.
Status OpenAndRead(const std::string& path, const LoadOptions& options, const std::string& name) {
  const auto model = LoadedModel::Open(path, options);
  if (!model) return Propagate(model);
  const auto number = (*model)->model().Find(name);
  if (!number) return {};
  const auto tensor = (*model)->OpenTensor(*number);
  if (!tensor) return Propagate(tensor);
  const MatrixSlice whole = (*tensor)->whole();
  std::vector<float> values(whole.rows * whole.columns);
  return (*tensor)->Decode(whole, DType::kF32, values.data(), whole.columns);
}

}  // namespace

Task OnFile(uint64_t count, uint64_t values, uint64_t piece_size,
            const std::function<Status(Bench&, const std::string& path)>& measure) {
  return [=](Bench& bench) -> Status {
    const auto folder = TempFolder::Create();
    if (!folder) return Propagate(folder);
    const std::string path = **folder / "bench.ingot";
    if (auto written = WriteFile(path, count, values, piece_size); !written) return written;
    return measure(bench, path);
  };
}

Status MeasureOpen(Bench& bench, const std::string& path, const std::string& row, const std::string& tensor) {
  const auto read = IndexRead::Create(path);
  if (!read) return Propagate(read);
  Status failed;
  for (const bool map : {true, false}) {
    LoadOptions options;
    options.map = map, options.threads = 1;
    const Work work = {1, [&] {
                         if (auto done = OpenAndRead(path, options, tensor); !done) failed = done;
                       }};
    bench.AddTime({"open and read one tensor", row, map ? "mapped" : "read", "read() of header and index"}, work,
                  *read);
    if (!failed) return failed;
  }
  return failed;
}

Status MeasureVerify(Bench& bench, const std::string& path, const std::string& row, uint64_t bytes) {
  const Memory memory(std::clamp<uint64_t>(bytes, 1 << 20, 256 << 20));
  Status failed;
  for (int threads : bench.thread_counts()) {
    const Team team(threads);
    const auto open = [&] {
      LoadOptions options;
      options.verify = VerifyMode::kOpen, options.threads = threads;
      if (const auto model = LoadedModel::Open(path, options); !model) failed = Propagate(model);
    };
    const auto validate = [&] {
      if (const auto done = ValidateFile(path); !done) {
        failed = Propagate(done);
      } else if (!done->valid()) {
        failed = Fail(ErrorCode::kBadInput, "{}: not valid: ingot validate says why", path);
      }
    };
    const std::string yardstick = "8-stream memory read, " + ThreadsText(threads);
    const Work read = EightStreamRead(memory.data(), memory.size(), team);
    const auto amount = static_cast<double>(bytes);
    bench.AddRate({"verify everything, cached", row, OnThreads("open", threads), yardstick}, {amount, open}, read);
    bench.AddRate({"verify everything, cached", row, OnThreads("validate", threads), yardstick},
                  {amount, [&] { team.Execute(validate); }}, read);
    if (!failed) return failed;
  }
  return failed;
}

std::vector<Task> OpenTasks(const Bench& bench) {
  std::vector<Task> tasks;
  for (uint64_t count : bench.quick() ? std::vector<uint64_t>{1000} : std::vector<uint64_t>{1000, 10000, 100000}) {
    tasks.push_back(OnFile(count, 32, kCopyWrite, [count](Bench& into, const std::string& path) {
      return MeasureOpen(into, path, fmt::format("{} tensors", count), TensorName(count / 2));
    }));
  }
  return tasks;
}

std::vector<Task> VerifyTasks(const Bench& bench) {
  const uint64_t count = bench.quick() ? 2 : 64, values = 1 << 20;
  std::vector<Task> tasks;
  for (uint64_t piece_size : {kCopyWrite, kLargeWrite}) {
    const std::string row = fmt::format("{} MiB, written {} KiB at a time", count * 4, piece_size >> 10);
    tasks.push_back(OnFile(count, values, piece_size, [=](Bench& into, const std::string& path) {
      return MeasureVerify(into, path, row, count * 4 * values);
    }));
  }
  return tasks;
}

}  // namespace ingot::bench

// Uploads of damaged files, onto devices that fail or are too small: a clear error, nothing half-visible, no leak.
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <set>
#include <thread>

#include "runtime/device/upload.h"
#include "tests/support/device_planes.h"
#include "tests/support/emulated_device.h"
#include "tests/support/temp_directory.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

constexpr uint64_t kMiB = 1 << 20;

struct Files {
  Files() {
    TensorFile file;
    const auto rows = [](uint64_t count, unsigned seed) {
      Bytes out(count);
      for (uint64_t i = 0; i < count; ++i) out[i] = static_cast<std::byte>(i / 1000 * 7 + i % 13 + seed);
      return out;
    };
    Dice dice(4, false);
    Linear l;
    l.bits = 3, l.rows = 32, l.cols = 256, l.group_rows = 1, l.group_cols = 64;
    l.s = Operand::Array(DType::kF16);
    l.permutation = true;
    file.Add("a", DType::kF32, {32, 256}, file.AddLinear(dice.Fill(l)));
    file.Add("b", DType::kU8, {3 * kMiB}, file.AddRaw(rows(3 * kMiB, 1)));
    file.Compress(true);
    file.Add("c", DType::kU8, {2 * kMiB}, file.AddRaw(rows(2 * kMiB, 2)));
    image = file.Finish();
    header = file.image.header();
    path = folder.Write("x.ingot", image);
  }
  // With a byte of the first plane of some tensors flipped.
  std::string Damaged(const std::vector<std::pair<std::string, uint64_t>>& where) const {
    Bytes bytes = image;
    for (const auto& [tensor, byte] : where) bytes[OffsetOfPlane(image, header, tensor, 0) + byte] ^= std::byte{1};
    return folder.Write("damaged.ingot", bytes);
  }
  const TempDirectory folder;
  Bytes image;
  Header header;
  std::string path;
};

const Files& TheFiles() {
  static const Files files;
  return files;
}

std::shared_ptr<LoadedModel> Open(const std::string& path, bool map = true) {
  auto model = LoadedModel::Open(path, {.map = map, .verify = VerifyMode::kLazy, .threads = 1, .cache_bytes = 0});
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  return *model;
}

const std::vector<UploadRequest> kAll = {{0, {}}, {1, {}}, {2, {}}};
const UploaderOptions kSmallRing = {2, 2, 0, {}};

void CheckWords(const Error& error, ErrorCode code, const std::vector<std::string>& words) {
  CHECK(error.code == code);
  for (const std::string& word : words) CHECK_MESSAGE(Contains(error.message, word), error.message);
}

TEST_CASE("a damaged chunk is its tensor's error; the others arrive") {
  for (const bool map : {true, false}) {
    for (const std::string name : {"b", "c"}) {
      CAPTURE(map);
      CAPTURE(name);
      // Two chunks: the first one is named, whichever thread is first.
      const std::string path =
          name == "b" ? TheFiles().Damaged({{"b", kMiB + 5}, {"b", 2 * kMiB + 5}}) : TheFiles().Damaged({{"c", 100}});
      const auto model = Open(path, map);
      const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{.most_delay_us = 200});
      {
        const auto uploader = Uploader::Make(device, kSmallRing);
        std::set<size_t> complete, refused;
        Uploader::Hooks hooks;
        hooks.on_tensor = [&](size_t request, const Uploader::Outcome& outcome) {
          (outcome ? complete : refused).insert(request);
        };
        const auto outcomes = (*uploader)->Upload(*model, kAll, hooks);
        REQUIRE(outcomes);
        const size_t bad = name == "b" ? 1 : 2;
        CHECK(refused == std::set<size_t>{bad});
        CHECK(complete.size() == 2);
        for (uint32_t i = 0; i < 3; ++i) {
          if (i == bad) continue;
          REQUIRE((*outcomes)[i]);
          CheckPlanes(**(*outcomes)[i], model->model(), i);
        }
        REQUIRE_FALSE((*outcomes)[bad]);
        CheckWords(
            (*outcomes)[bad].error(), ErrorCode::kBadInput,
            {path, "tensor '" + name + "'", name == "b" ? "R-CHK-1" : "R-FRM-6", name == "b" ? "chunk 1" : "chunk 0"});
        const auto all = (*uploader)->UploadAll(*model, kAll);
        REQUIRE_FALSE(all);
        CHECK(all.error().message == (*outcomes)[bad].error().message);
        const uint64_t good = (*outcomes)[0].value()->bytes() + (*outcomes)[3 - bad].value()->bytes();
        CHECK(device->memory_in_use() == good);
      }
      CHECK(device->Problems() == "");
    }
  }
}

TEST_CASE("no file with bad contents gets a tensor onto a device; indices are checked whatever is verified") {
  const auto device = std::make_shared<EmulatedDevice>();
  size_t refused = 0;
  {
    const auto uploader = Uploader::Make(device, kSmallRing);
    for (const InvalidVector& vector : InvalidVectors()) {
      const bool indices = vector.rule.starts_with("R-PERM-") || vector.rule.starts_with("R-OUT-");
      if (!indices && vector.rule != "R-CHK-1" && !vector.rule.starts_with("R-FRM-")) continue;
      CAPTURE(vector.name);
      for (const VerifyMode verify : {VerifyMode::kLazy, VerifyMode::kOff}) {
        const auto model =
            LoadedModel::Open(vector.path, {.map = true, .verify = verify, .threads = 1, .cache_bytes = 0});
        if (!model) continue;
        std::vector<UploadRequest> all;
        for (uint32_t i = 0; i < (*model)->model().tensor_count(); ++i) all.push_back({i, {}});
        const auto outcomes = (*uploader)->Upload(**model, all, {});
        REQUIRE(outcomes);
        size_t failed = 0;
        for (const auto& outcome : *outcomes) {
          if (outcome) continue;
          ++failed;
          CheckWords(outcome.error(), ErrorCode::kBadInput, {vector.rule, "tensor '"});
        }
        if (indices) CHECK(failed == 1);
        refused += failed;
      }
    }
  }
  CHECK(refused > 10);
  CHECK(device->Problems() == "");
}

TEST_CASE("a device that refuses any one call, or everything from then on") {
  for (const bool stays : {false, true}) {
    bool finished = false;
    for (uint64_t n = 1; !finished; ++n) {
      CAPTURE(n);
      REQUIRE(n < 1000);
      const auto model = Open(TheFiles().path);
      const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{
          .seed = static_cast<unsigned>(n), .most_delay_us = 20, .fail_at_call = n, .stays_failed = stays});
      {
        const auto uploader = Uploader::Make(device, kSmallRing);
        if (!uploader) {
          CheckWords(uploader.error(), ErrorCode::kDevice, {"emulated:0", "refused"});
          CHECK(device->Problems() == "");
          continue;
        }
        const auto tensors = (*uploader)->UploadAll(*model, kAll);
        finished = tensors.has_value() && device->calls() < n;
        if (!tensors) {
          const bool named = Contains(tensors.error().message, "tensor '");
          CheckWords(tensors.error(), ErrorCode::kDevice, {"emulated:0", "refused"});
          CHECK((named || Contains(tensors.error().message, "memory")));
          CHECK(device->memory_in_use() == 0);
        }
      }
      CHECK(device->Problems() == "");
    }
  }
}

TEST_CASE("a copy that fails on the device") {
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    const auto model = Open(TheFiles().path);
    const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{.most_delay_us = 20, .fail_at_copy = n});
    bool succeeded = false;
    {
      const auto uploader = Uploader::Make(device, kSmallRing);
      std::vector<Bytes> handed_out;
      Uploader::Hooks hooks;
      hooks.on_tensor = [&](size_t request, const Uploader::Outcome& outcome) {
        REQUIRE(outcome);
        CheckPlanes(**outcome, model->model(), static_cast<uint32_t>(request));  // never one that is not complete
      };
      const auto outcomes = (*uploader)->Upload(*model, kAll, hooks);
      succeeded = outcomes.has_value();
      if (!succeeded) CheckWords(outcomes.error(), ErrorCode::kDevice, {TheFiles().path, "tensor '", "a copy failed"});
    }
    CHECK(device->Problems() == "");
    if (succeeded) break;
  }
}

// Memory of the caller's, of which there is only so much.
struct Pool {
  std::mutex mutex;
  uint64_t left = 0, calls = 0;
  uint64_t offset = 0;
  static void* Allocate(void* user, uint64_t size, uint64_t alignment) {
    Pool& pool = *static_cast<Pool*>(user);
    const std::lock_guard lock(pool.mutex);
    ++pool.calls;
    if (size > pool.left) return nullptr;
    pool.left -= size;
    return static_cast<std::byte*>(std::aligned_alloc(alignment, (size + alignment) / alignment * alignment)) +
           pool.offset;
  }
  static void Release(void* user, void* at, uint64_t size) {
    Pool& pool = *static_cast<Pool*>(user);
    const std::lock_guard lock(pool.mutex);
    pool.left += size;
    std::free(static_cast<std::byte*>(at) - pool.offset);
  }
  DeviceAllocator allocator() { return {this, &Allocate, &Release}; }
};

TEST_CASE("too little memory: before anything is read, or in the middle") {
  const auto model = Open(TheFiles().path);
  const auto small = std::make_shared<EmulatedDevice>(EmulatedOptions{.memory = 4 * kMiB});
  {
    const auto uploader = Uploader::Make(small, kSmallRing);
    const auto all = (*uploader)->UploadAll(*model, kAll);
    REQUIRE_FALSE(all);
    CheckWords(all.error(), ErrorCode::kMemory, {TheFiles().path, "emulated:0", "4194304 free"});
    CHECK((*uploader)->counts().copied == 0);
    const MatrixSlice whole = {0, 1, 0, 3 * kMiB};
    const std::vector<UploadRequest> slices = {{1, whole}, {2, MatrixSlice{0, 1, 0, 2 * kMiB}}};
    const auto some = (*uploader)->UploadAll(*model, slices);
    REQUIRE_FALSE(some);
    CheckWords(some.error(), ErrorCode::kMemory, {TheFiles().path, "tensor 'c'", "emulated:0"});
    CHECK(small->memory_in_use() == 0);
  }
  CHECK(small->Problems() == "");
}

TEST_CASE("memory from the caller") {
  const auto model = Open(TheFiles().path);
  for (const uint64_t limit : {uint64_t{0}, kMiB, 4 * kMiB, 8 * kMiB}) {
    CAPTURE(limit);
    Pool pool;
    pool.left = limit;
    const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{.checks_sources = false, .memory = 0});
    {
      const auto uploader = Uploader::Make(device, {2, 2, 0, pool.allocator()});
      const auto all = (*uploader)->UploadAll(*model, kAll);
      if (limit == 8 * kMiB) {
        REQUIRE(all);
        CHECK(pool.calls == 3);
        CHECK(pool.left == limit - (*all)[0]->bytes() - (*all)[1]->bytes() - (*all)[2]->bytes());
        for (uint32_t i = 0; i < 3; ++i) CheckPlanes(*(*all)[i], model->model(), i);
      } else {
        REQUIRE_FALSE(all);
        CheckWords(all.error(), ErrorCode::kMemory, {TheFiles().path, "tensor '", "the caller's allocator"});
      }
    }
    CHECK(pool.left == limit);
  }
  Pool crooked;
  crooked.left = 8 * kMiB, crooked.offset = 64;
  const auto uploader = Uploader::Make(std::make_shared<EmulatedDevice>(), {2, 2, 0, crooked.allocator()});
  const auto all = (*uploader)->UploadAll(*model, kAll);
  REQUIRE_FALSE(all);
  CheckWords(all.error(), ErrorCode::kUsage, {"tensor 'a'", "multiple of 256"});
  CHECK(crooked.left == 8 * kMiB);
}

TEST_CASE("an upload stops when it is told to") {
  const auto model = Open(TheFiles().path);
  for (int n = 0; n < 5; ++n) {
    const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{.most_delay_us = 200});
    {
      const auto uploader = Uploader::Make(device, kSmallRing);
      int calls = 0;
      bool after = false;
      Uploader::Hooks hooks;
      hooks.progress = [&](uint64_t, uint64_t) {
        CHECK(calls <= n);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));  // others wait to report meanwhile
        return calls++ < n;
      };
      hooks.on_tensor = [&](size_t, const Uploader::Outcome&) { after = after || calls > n; };
      const auto stopped = (*uploader)->Upload(*model, kAll, hooks);
      REQUIRE_FALSE(stopped);
      CHECK(stopped.error().code == ErrorCode::kInterrupted);
      CHECK_FALSE(after);
      CHECK(device->memory_in_use() == 0);
      CHECK((*uploader)->UploadAll(*model, kAll));  // and can be used again
    }
    CHECK(device->Problems() == "");
  }
}

TEST_CASE("a file that is cut off while it is uploaded") {
  const TempDirectory folder;
  const std::string path = folder.Write("x.ingot", TheFiles().image);
  const auto model = Open(path, false);
  REQUIRE(truncate(path.c_str(), 10000) == 0);
  const auto device = std::make_shared<EmulatedDevice>();
  {
    const auto uploader = Uploader::Make(device, kSmallRing);
    const auto outcomes = (*uploader)->Upload(*model, kAll, {});
    REQUIRE(outcomes);
    for (const auto& outcome : *outcomes) {
      REQUIRE_FALSE(outcome);
      CheckWords(outcome.error(), ErrorCode::kIo, {"truncated", "tensor '"});
    }
  }
  CHECK(device->Problems() == "");
}

TEST_CASE("requests and options that are not possible") {
  const auto model = Open(TheFiles().path);
  const auto device = std::make_shared<EmulatedDevice>();
  const auto uploader = Uploader::Make(device, kSmallRing);
  const std::vector<UploadRequest> requests[] = {{{3, {}}},
                                                 {{0, MatrixSlice{0, 33, 0, 256}}},
                                                 {{0, MatrixSlice{0, 1, 250, 7}}},
                                                 {{0, MatrixSlice{UINT64_MAX, 2, 0, 1}}}};
  for (const auto& request : requests) {
    const auto refused = (*uploader)->UploadAll(*model, request);
    REQUIRE_FALSE(refused);
    CheckWords(refused.error(), ErrorCode::kUsage, {TheFiles().path});
  }
  const auto nothing = (*uploader)->UploadAll(*model, std::vector<UploadRequest>{{0, MatrixSlice{5, 0, 7, 0}}});
  REQUIRE(nothing);
  CHECK((*nothing)[0]->bytes() == 0);
  CHECK_FALSE((*nothing)[0]->parts()[0].view);
  CHECK((*uploader)->UploadAll(*model, {})->empty());
  for (const UploaderOptions& bad : {UploaderOptions{0, 1, 0, {}}, UploaderOptions{1, 0, 0, {}},
                                     UploaderOptions{1, 1, 0, {nullptr, &Pool::Allocate, nullptr}}})
    CHECK(Uploader::Make(device, bad).error().code == ErrorCode::kUsage);
}

}  // namespace
}  // namespace ingot::test

// What is read, verified, kept and dropped: counted on files of several chunks a plane.
#include "runtime/plane_store.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <thread>

#include "runtime/loaded_model.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tensor_file.h"

namespace ingot::test {
namespace {

constexpr uint64_t kColumns = 1024;  // of bytes: a chunk is 1024 rows

// Rows of bytes that differ, that compress, and that say where they are.
Bytes Rows(uint64_t rows, unsigned seed) {
  Bytes out(rows * kColumns);
  for (uint64_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>((i / kColumns * 7 + i % 13 + seed) & 0xFF);
  return out;
}

struct Files {
  Files() {
    TensorFile file;
    file.Add("plain", DType::kU8, {8 * 1024 + 10, kColumns}, file.AddRaw(plain = Rows(8 * 1024 + 10, 1)));
    file.Compress(true);
    file.Add("framed", DType::kU8, {8 * 1024, kColumns}, file.AddRaw(framed = Rows(8 * 1024, 2)));
    file.Compress(false);
    std::vector<IndexBuilder::Part> experts;
    for (unsigned i = 0; i < 4; ++i) experts.push_back({1, file.AddRaw(Rows(2 * 1024, 10 + i))});
    file.builder.AddTensor("experts", DType::kU8, {4, 2 * 1024, kColumns}, 0, experts);
    image = file.Finish();
    header = file.image.header();
    path = folder.Write("x.ingot", image);
  }

  // The file with a byte of a tensor's only plane flipped.
  std::string Damaged(const std::string& name, const std::string& tensor, uint64_t byte) const {
    Bytes bytes = image;
    bytes[OffsetOfPlane(image, header, tensor, 0) + byte] ^= std::byte{1};
    return folder.Write(name, bytes);
  }

  const TempDirectory folder;
  Bytes plain, framed, image;
  Header header;
  std::string path;
};

const Files& TheFiles() {
  static const Files files;
  return files;
}

std::shared_ptr<LoadedModel> Open(const std::string& path, const LoadOptions& options) {
  auto model = LoadedModel::Open(path, options);
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  return *model;
}

std::shared_ptr<const TensorView> OpenTensor(LoadedModel& model, const std::string& name) {
  auto view = model.OpenTensor(model.model().Find(name).value());
  REQUIRE_MESSAGE(view, (view ? "" : view.error().message));
  return *view;
}

Status ReadRows(const TensorView& view, uint64_t first, uint64_t count, Bytes& out) {
  out.assign(count * kColumns, std::byte{0});
  return view.Read({first, count, 0, kColumns}, out.data(), kColumns);
}

void CheckRows(const TensorView& view, const Bytes& all, uint64_t first, uint64_t count) {
  Bytes out;
  const Status read = ReadRows(view, first, count, out);
  REQUIRE_MESSAGE(read, (read ? "" : read.error().message));
  const auto from = all.begin() + static_cast<ptrdiff_t>(first * kColumns);
  REQUIRE(std::equal(out.begin(), out.end(), from));
}

constexpr uint64_t kMiB = 1 << 20;

TEST_CASE("each chunk is verified once, on first use, and no other") {
  for (const bool map : {true, false}) {
    const auto model = Open(TheFiles().path, {.map = map, .verify = VerifyMode::kLazy, .threads = 2, .cache_bytes = 0});
    const auto plain = OpenTensor(*model, "plain"), experts = OpenTensor(*model, "experts");
    const auto verified = [&] { return model->MemoryInUse().verified; };
    CHECK(verified() == 0);
    CheckRows(*plain, TheFiles().plain, 1024, 1024);
    CHECK(verified() == kMiB);
    CheckRows(*plain, TheFiles().plain, 1500, 10);
    CHECK(verified() == kMiB);
    CheckRows(*plain, TheFiles().plain, 2047, 2);
    CHECK(verified() == 2 * kMiB);
    CheckRows(*plain, TheFiles().plain, 8 * 1024, 10);
    CHECK(verified() == 2 * kMiB + 10 * kColumns);
    Bytes out;
    CHECK(ReadRows(*experts, 2 * 2048, 2048, out));  // the third expert
    CHECK(out == Rows(2 * 1024, 12));
    CHECK(verified() == 4 * kMiB + 10 * kColumns);
    CHECK(plain->Verify(plain->whole()));
    CHECK(verified() == 10 * kMiB + 10 * kColumns);
    CHECK(model->Verify({}));
    CHECK(verified() == 24 * kMiB + 10 * kColumns);
    CHECK(model->Verify({}));
    CHECK(verified() == 24 * kMiB + 10 * kColumns);
    const LoadedModel::Memory memory = model->MemoryInUse();
    CHECK((memory.mapped > 0) == map);
    CHECK(memory.resident <= memory.mapped);
    const uint64_t index = model->model().main().index().bytes().size();
    CHECK(memory.private_bytes == index + (map ? 0 : 10 * kMiB + 10 * kColumns));
  }
}

TEST_CASE("verification when opening, and none") {
  const auto checked =
      Open(TheFiles().path, {.map = true, .verify = VerifyMode::kOpen, .threads = 2, .cache_bytes = 0});
  CHECK(checked->MemoryInUse().verified == 24 * kMiB + 10 * kColumns);
  for (const bool map : {true, false}) {
    const auto model = Open(TheFiles().path, {.map = map, .verify = VerifyMode::kOff, .threads = 2, .cache_bytes = 0});
    for (const char* name : {"plain", "framed"}) {
      const auto view = OpenTensor(*model, name);
      CheckRows(*view, name[0] == 'p' ? TheFiles().plain : TheFiles().framed, 100, 3000);
      CHECK(model->MemoryInUse().verified == 0);
    }
    const auto plain = OpenTensor(*model, "plain");
    CHECK(plain->Verify({0, 1, 0, 1}));  // when it is asked for
    CHECK(model->MemoryInUse().verified == kMiB);
  }
}

TEST_CASE("a damaged chunk is an error from whoever needs it, and from nobody else") {
  for (const std::string tensor : {"plain", "framed"}) {
    const uint64_t byte = tensor == "plain" ? 3 * kMiB + 77 : 100;
    const std::string path = TheFiles().Damaged("damaged.ingot", tensor, byte);
    for (const bool map : {true, false}) {
      CAPTURE(tensor);
      CAPTURE(map);
      const auto model = Open(path, {.map = map, .verify = VerifyMode::kLazy, .threads = 2, .cache_bytes = 0});
      const auto view = OpenTensor(*model, tensor);
      const Bytes& all = tensor == "plain" ? TheFiles().plain : TheFiles().framed;
      const uint64_t good = 4 * 1024, bad = byte / kMiB * 1024;
      CheckRows(*view, all, good, 3 * 1024);
      for (int i = 0; i < 2; ++i) {  // and again
        Bytes out;
        const Status read = ReadRows(*view, bad, 5, out);
        REQUIRE_FALSE(read);
        CHECK(read.error().code == ErrorCode::kBadInput);
        for (const std::string& word : {path, "chunk " + std::to_string(bad / 1024), "tensor '" + tensor + "'",
                                        std::string(tensor == "plain" ? "R-CHK-1" : "R-FRM-6")}) {
          CHECK_MESSAGE(Contains(read.error().message, word), read.error().message);
        }
        CHECK(out == Bytes(5 * kColumns));
      }
      CHECK_FALSE(view->Verify(view->whole()));
      CHECK(view->Plane(0, 0, 0).has_value() == false);
      CheckRows(*view, all, good, 3 * 1024);
      const Status whole = model->Verify({});
      REQUIRE_FALSE(whole);
      CHECK(Contains(whole.error().message, "chunk " + std::to_string(bad / 1024)));
      const auto other = OpenTensor(*model, "experts");
      CHECK(other->Verify(other->whole()));
      const auto refused =
          LoadedModel::Open(path, {.map = map, .verify = VerifyMode::kOpen, .threads = 0, .cache_bytes = 0});
      REQUIRE_FALSE(refused);
      CHECK(refused.error().message == whole.error().message);
    }
  }
}

TEST_CASE("decompressed chunks are dropped beyond the limit, not those in use") {
  for (const uint64_t limit : {uint64_t{1}, 2 * kMiB, 100 * kMiB}) {
    const auto model =
        Open(TheFiles().path, {.map = true, .verify = VerifyMode::kLazy, .threads = 2, .cache_bytes = limit});
    const auto cache = [&] { return model->MemoryInUse().cache; };
    const auto view = OpenTensor(*model, "framed");
    CHECK(cache() == 0);
    for (int round = 0; round < 2; ++round) {
      for (uint64_t row = 0; row < 8 * 1024; row += 700) {
        CheckRows(*view, TheFiles().framed, row, std::min<uint64_t>(700, 8 * 1024 - row));
        CHECK(cache() <= limit);
      }
    }
    CHECK(cache() == std::min<uint64_t>(limit / kMiB, 8) * kMiB);
    CHECK(model->MemoryInUse().verified == 8 * kMiB);  // once more after it was dropped, but counted once
    {
      const auto other = OpenTensor(*model, "framed");
      const auto plane = other->Plane(0, 0, 0);
      REQUIRE(plane);
      CHECK(cache() == 8 * kMiB);
      CheckRows(*view, TheFiles().framed, 0, 8 * 1024);
      CHECK(std::equal(plane->begin(), plane->end(), TheFiles().framed.begin()));
      CHECK(other->Plane(0, 0, 0)->data() == plane->data());
    }
    CHECK(cache() == std::min<uint64_t>(limit / kMiB, 8) * kMiB);
  }
}

TEST_CASE("a file that is cut off while it is read: errors, and what was read stays") {
  const TempDirectory folder;
  const std::string path = folder.Write("x.ingot", TheFiles().image);
  const auto model = Open(path, {.map = false, .verify = VerifyMode::kLazy, .threads = 2, .cache_bytes = 1});
  const auto plain = OpenTensor(*model, "plain"), framed = OpenTensor(*model, "framed");
  CheckRows(*plain, TheFiles().plain, 0, 1024);
  CheckRows(*framed, TheFiles().framed, 0, 1024);
  REQUIRE(truncate(path.c_str(), 10000) == 0);
  Bytes out;
  const Status cut = ReadRows(*plain, 1024, 1, out);
  REQUIRE_FALSE(cut);
  CHECK(cut.error().code == ErrorCode::kIo);
  CHECK_MESSAGE(Contains(cut.error().message, "truncated"), cut.error().message);
  CHECK_MESSAGE(Contains(cut.error().message, "tensor 'plain'"), cut.error().message);
  CHECK_FALSE(ReadRows(*framed, 0, 1, out));  // it was dropped
  CHECK_FALSE(model->Verify({}));
  CheckRows(*plain, TheFiles().plain, 0, 1024);
}

TEST_CASE("a file that changes while it is read is verified as it is used") {
  const TempDirectory folder;
  const std::string path = folder.Write("x.ingot", TheFiles().image);
  const auto model = Open(path, {.map = false, .verify = VerifyMode::kLazy, .threads = 1, .cache_bytes = 0});
  const auto plain = OpenTensor(*model, "plain");
  CHECK(model->Verify({}));
  CheckRows(*plain, TheFiles().plain, 0, 1024);
  Bytes changed = TheFiles().image;
  const uint64_t at = OffsetOfPlane(changed, TheFiles().header, "plain", 0);
  changed[at] ^= std::byte{1}, changed[at + kMiB] ^= std::byte{1};
  std::ofstream(path, std::ios::binary | std::ios::in) << AsText(changed);
  CheckRows(*plain, TheFiles().plain, 0, 1024);
  Bytes out;
  CHECK_FALSE(ReadRows(*plain, 1024, 1, out));
}

TEST_CASE("verification tells where it is and stops when told") {
  const auto model = Open(TheFiles().path, {});
  uint64_t last = 0, total = 0;
  CHECK(model->Verify([&](uint64_t done, uint64_t of) {
    CHECK(done >= last);
    last = done, total = of;
    return true;
  }));
  CHECK(last == total);
  const auto again = Open(TheFiles().path, {});
  const Status stopped = again->Verify([](uint64_t, uint64_t) { return false; });
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().code == ErrorCode::kInterrupted);
}

TEST_CASE("many threads on the same chunks") {
  const uint64_t limits[] = {1, 3 * kMiB, 100 * kMiB};
  for (int round = 0; round < 6; ++round) {
    const auto model =
        Open(TheFiles().path,
             {.map = round % 2 == 0, .verify = VerifyMode::kLazy, .threads = 2, .cache_bytes = limits[round % 3]});
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        Dice dice(t);
        for (int i = 0; i < 20; ++i) {
          const std::string name = dice.Half() ? "plain" : "framed";
          const Bytes& all = name == "plain" ? TheFiles().plain : TheFiles().framed;
          const auto view = model->OpenTensor(model->model().Find(name).value());
          const uint64_t first = dice.Below(8 * 1024), count = 1 + dice.Below(8 * 1024 - first);
          Bytes out;
          if (!view || !ReadRows(**view, first, count, out) ||
              !std::equal(out.begin(), out.end(), all.begin() + static_cast<ptrdiff_t>(first * kColumns)))
            ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    const uint64_t verified = model->MemoryInUse().verified;
    CHECK(verified <= 16 * kMiB + 10 * kColumns);
    CHECK(model->MemoryInUse().cache <= limits[round % 3]);
  }
}

}  // namespace
}  // namespace ingot::test

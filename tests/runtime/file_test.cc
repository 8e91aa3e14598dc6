#include "runtime/file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <string>
#include <utility>

#include "tests/support/temp_directory.h"

namespace ingot::test {
namespace {

std::string Read(const File& file, uint64_t offset, size_t size) {
  std::string out(size, '?');
  const Status read = file.ReadAt(offset, std::as_writable_bytes(std::span(out)));
  return read ? out : "error " + std::to_string(static_cast<int>(read.error().code)) + ": " + read.error().message;
}

TEST_CASE("bytes at any offset, none beyond the end") {
  const TempDirectory folder;
  const std::string path = folder.Write("f", AsBytes("0123456789"));
  const auto file = File::OpenForReading(path);
  REQUIRE(file);
  CHECK(file->size() == 10);
  CHECK(file->path() == path);
  CHECK(Read(*file, 0, 10) == "0123456789");
  CHECK(Read(*file, 3, 4) == "3456");
  CHECK(Read(*file, 9, 1) == "9");
  CHECK(Read(*file, 10, 0) == "");
  CHECK(Read(*file, 1000, 0) == "");
  CHECK(Read(*file, 8, 3) == "error 3: " + path + ": truncated: ends at byte 10, 1 more expected");
  CHECK(Contains(Read(*file, 1000, 1), "truncated"));
  CHECK(Read(*file, UINT64_MAX, 1).starts_with("error 4"));
}

TEST_CASE("a file that was cut after it was opened is an error, not a crash") {
  const TempDirectory folder;
  const std::string path = folder.Write("f", AsBytes("0123456789"));
  const auto file = File::OpenForReading(path);
  std::filesystem::resize_file(path, 4);
  CHECK(file->size() == 10);
  CHECK(Read(*file, 0, 4) == "0123");
  CHECK(Contains(Read(*file, 0, 10), "truncated"));
}

TEST_CASE("what is no regular file is refused, without waiting for it") {
  const TempDirectory folder;
  const auto error = [](const std::string& path) {
    const auto file = File::OpenForReading(path);
    REQUIRE_FALSE(file);
    CHECK(file.error().code == ErrorCode::kIo);
    CHECK(file.error().message.starts_with(path + ": "));
    return file.error().message;
  };
  CHECK(Contains(error(folder / "missing"), "cannot open: No such file"));
  CHECK(Contains(error(folder.path()), "not a regular file"));
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(Contains(error(folder / "pipe"), "not a regular file"));
  error("");
}

TEST_CASE("moving passes the descriptor on") {
  const TempDirectory folder;
  auto a = File::OpenForReading(folder.Write("a", AsBytes("aaa")));
  auto b = File::OpenForReading(folder.Write("b", AsBytes("bb")));
  File moved = std::move(*a);
  CHECK(Read(moved, 0, 3) == "aaa");
  moved = std::move(*b);
  CHECK(Read(moved, 0, 2) == "bb");
  CHECK(moved.size() == 2);
  CHECK(moved.path() == folder / "b");
}

TEST_CASE("small files as a whole, up to a limit") {
  const TempDirectory folder;
  const std::string path = folder.Write("f", AsBytes("0123456789")), empty = folder.Write("e", {});
  CHECK(ReadWholeFile(path, 10) == "0123456789");
  CHECK(ReadWholeFile(empty, 0) == "");
  const auto large = ReadWholeFile(path, 9);
  REQUIRE_FALSE(large);
  CHECK(large.error().code == ErrorCode::kBadInput);
  CHECK(large.error().message == path + ": 10 bytes, at most 9 are read");
  CHECK(ReadWholeFile(folder / "missing", 9).error().code == ErrorCode::kIo);
}

}  // namespace
}  // namespace ingot::test

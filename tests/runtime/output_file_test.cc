#include "runtime/output_file.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/support/temp_directory.h"

namespace ingot::test {
namespace {

using Names = std::vector<std::string>;

std::string TextOf(const std::string& path) {
  const auto bytes = ReadBytes(path);
  return std::string(AsText(bytes));
}

Result<OutputFile> Start(const std::string& target, bool replace, std::string_view text) {
  auto file = OutputFile::Create(target, replace);
  if (file) REQUIRE(file->WriteAt(0, AsBytes(text)));
  return file;
}

TEST_CASE("the target appears on Commit, whole, and nothing else stays") {
  const TempDirectory folder;
  const std::string target = folder / "x.ingot";
  auto file = Start(target, false, "hello world");
  REQUIRE(file);
  CHECK(file->target() == target);
  CHECK(file->partial() == folder / ".x.ingot.partial");
  CHECK(folder.Names() == Names{".x.ingot.partial"});
  REQUIRE(file->WriteAt(6, AsBytes("there")));
  REQUIRE(file->WriteAt(20, AsBytes("!")));
  std::string back(5, '?');
  REQUIRE(file->ReadAt(6, std::as_writable_bytes(std::span(back))));
  CHECK(back == "there");
  CHECK_FALSE(file->ReadAt(20, std::as_writable_bytes(std::span(back))));
  REQUIRE(file->Truncate(11));
  REQUIRE(file->Commit());
  CHECK(file->sync_seconds() >= 0);
  CHECK(folder.Names() == Names{"x.ingot"});
  CHECK(TextOf(target) == "hello there");
}

TEST_CASE("a file that is not committed leaves nothing behind, and what was there as it was") {
  const TempDirectory folder;
  { REQUIRE(Start(folder / "new", false, "abandoned")); }
  CHECK(folder.Names().empty());
  folder.Write("old", AsBytes("before"));
  { REQUIRE(Start(folder / "old", true, "abandoned")); }
  CHECK(folder.Names() == Names{"old"});
  CHECK(TextOf(folder / "old") == "before");
  {
    auto a = Start(folder / "a", false, "a"), b = Start(folder / "b", false, "b");
    *a = std::move(*b);
    REQUIRE(a->Commit());
  }
  CHECK(folder.Names() == Names{"b", "old"});
}

TEST_CASE("an existing target: refused without force, replaced with it") {
  const TempDirectory folder;
  const std::string target = folder.Write("x", AsBytes("before"));
  const auto refused = OutputFile::Create(target, false);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kUsage);
  CHECK(refused.error().message == target + ": exists; --force replaces it");
  CHECK(TextOf(target) == "before");
  auto file = Start(target, true, "after");
  REQUIRE(file);
  CHECK(TextOf(target) == "before");
  REQUIRE(file->Commit());
  CHECK(TextOf(target) == "after");
}

TEST_CASE("a target that appears while the file is written is not replaced") {
  const TempDirectory folder;
  const std::string target = folder / "x";
  {
    auto file = Start(target, false, "mine");
    REQUIRE(file);
    folder.Write("x", AsBytes("theirs"));
    const Status commit = file->Commit();
    REQUIRE_FALSE(commit);
    CHECK(Contains(commit.error().message, target));
  }
  CHECK(TextOf(target) == "theirs");
  CHECK(folder.Names() == Names{"x"});
}

TEST_CASE("only one writer at a time") {
  const TempDirectory folder;
  const std::string target = folder / "x";
  auto first = Start(target, false, "first");
  REQUIRE(first);
  for (bool replace : {false, true}) {
    const auto second = OutputFile::Create(target, replace);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::kIo);
    CHECK(Contains(second.error().message, "another process is writing it"));
  }
  CHECK(TextOf(first->partial()) == "first");  // the loser has not cut it
  REQUIRE(first->Commit());
  CHECK(TextOf(target) == "first");
  CHECK(Start(target, true, "again"));
}

TEST_CASE("the partial file of a process that was killed is taken over") {
  const TempDirectory folder;
  const std::string target = folder / "x";
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    auto file = OutputFile::Create(target, false);
    const bool written = file && file->WriteAt(0, AsBytes("a long text that was left behind"));
    if (!written || write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  REQUIRE(child > 0);
  close(ready[1]);
  char byte;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  close(ready[0]);
  CHECK_FALSE(OutputFile::Create(target, false));  // the child still holds the lock
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  CHECK(folder.Names() == Names{".x.partial"});
  auto file = Start(target, false, "new");
  REQUIRE(file);
  REQUIRE(file->Commit());
  CHECK(TextOf(target) == "new");
  CHECK(folder.Names() == Names{"x"});
}

TEST_CASE("names that are no files, folders that are not there") {
  const TempDirectory folder;
  const auto code = [](const std::string& target, bool replace) {
    const auto file = OutputFile::Create(target, replace);
    REQUIRE_FALSE(file);
    return file.error().code;
  };
  for (bool replace : {false, true}) {
    CHECK(code(folder.path(), replace) == ErrorCode::kUsage);
    CHECK(code("", replace) == ErrorCode::kUsage);
    CHECK(code(folder / "new/", replace) == ErrorCode::kUsage);
    CHECK(code(folder / "missing/x", replace) == ErrorCode::kIo);
  }
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(code(folder / "pipe", true) == ErrorCode::kUsage);
  CHECK(folder.Names() == Names{"pipe"});
}

TEST_CASE(
    "a link in the place of the partial file is not followed; one in the place of the target is replaced itself") {
  const TempDirectory folder;
  const std::string precious = folder.Write("precious", AsBytes("keep me"));
  std::filesystem::create_symlink(precious, folder / ".x.partial");
  const auto followed = OutputFile::Create(folder / "x", false);
  REQUIRE_FALSE(followed);
  CHECK(followed.error().code == ErrorCode::kIo);
  CHECK(TextOf(precious) == "keep me");

  std::filesystem::create_symlink(precious, folder / "link");
  CHECK_FALSE(OutputFile::Create(folder / "link", false));
  auto file = Start(folder / "link", true, "new");
  REQUIRE(file);
  REQUIRE(file->Commit());
  CHECK(TextOf(precious) == "keep me");
  CHECK(TextOf(folder / "link") == "new");
}

TEST_CASE("another name before the commit") {
  const TempDirectory folder;
  auto file = Start(folder / "x", true, "text");
  REQUIRE(file);
  file->SetTarget(folder / "y");
  REQUIRE(file->Commit());
  CHECK(folder.Names() == Names{"y"});
}

TEST_CASE("names of every legal length") {
  const TempDirectory folder;
  for (size_t length : {1, 240, 246, 247, 254, 255}) {
    const std::string name(length, 'n');
    auto file = Start(folder / name, false, "x");
    REQUIRE_MESSAGE(file, (file ? "" : file.error().message));
    REQUIRE(file->Commit());
    CHECK(std::filesystem::remove(folder / name));
    CHECK(folder.Names() == Names{});
  }
}

}  // namespace
}  // namespace ingot::test

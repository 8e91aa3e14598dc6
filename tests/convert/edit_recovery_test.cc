// Edits that meet a damaged slot, an edit that did not finish, another process, or a file that must not be edited.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "tests/convert/desk.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

TEST_CASE("another process that holds the lock, files that are no valid Ingot files, newer files") {
  Desk desk;
  const int other = open(desk.path.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(flock(other, LOCK_EX) == 0);
  CHECK(desk.MustFail(Set("k", "v")).code == ErrorCode::kIo);
  close(other);
  desk.Edit(Set("k", "v"));

  desk.path = desk.folder / "missing";
  CHECK(EditFile(desk.path, Set("k", "v")).error().code == ErrorCode::kIo);
  desk.path = desk.folder.path();
  CHECK(EditFile(desk.path, Set("k", "v")).error().code == ErrorCode::kIo);
  for (const char* name :
       {"invalid/R-HDR-2-both", "invalid/R-FILE-2-truncated-index", "invalid/R-TEN-1-equal", "valid/newer-minor"}) {
    const std::string from = kVectors + name + ".ingot";
    desk.path = desk.folder.Write("y", ReadBytes(from));
    CHECK(desk.MustFail(Set("k", "v")).code == ErrorCode::kBadInput);
  }
}

TEST_CASE("a bad slot is repaired first, by every edit") {
  for (size_t slot : {size_t{0}, size_t{1}}) {
    for (bool change : {false, true}) {
      Desk desk;
      desk.Edit(Set("a", "1"));  // the slots differ now
      Bytes bytes = ReadBytes(desk.path);
      bytes[slot * kSlotSize + 33] ^= std::byte{1};
      desk.folder.Write("x.ingot", bytes);
      const uint64_t generation = desk.Open()->header().generation;
      const std::string before = desk.Value("a");
      CHECK(before == (generation == 2 ? "1" : "(none)"));
      const EditResult result = desk.Edit(change ? Set("b", "2") : EditOptions{});
      CHECK(result.repaired);
      CHECK(result.changed == change);
      CHECK(result.generation == generation + change);
      desk.MustBeValid();
      CHECK(desk.Value("a") == before);
      CHECK(desk.Value("b") == (change ? "2" : "(none)"));
    }
  }
}

TEST_CASE("a crash before the slot is written leaves the old file with a tail; the next edit cuts it off") {
  Desk desk;
  const Bytes old = ReadBytes(desk.path);
  desk.Edit(Set("k", "new"));
  Bytes crashed = ReadBytes(desk.path);
  std::copy_n(old.begin(), kHeaderSize, crashed.begin());
  desk.folder.Write("x.ingot", crashed);
  CHECK(desk.Value("k") == "(none)");
  const auto validation = ValidateFile(desk.path);
  REQUIRE(validation);
  CHECK(validation->valid());
  CHECK(validation->warnings.size() == 1);
  const EditResult cut = desk.Edit({});
  CHECK(cut.cut_bytes == crashed.size() - old.size());
  CHECK_FALSE(cut.changed);
  CHECK(cut.generation == 1);
  CHECK(ReadBytes(desk.path) == old);

  desk.folder.Write("x.ingot", crashed);
  CHECK(desk.Edit(Set("k", "again")).cut_bytes == crashed.size() - old.size());
  desk.MustBeValid();
  CHECK(desk.Value("k") == "again");
}

TEST_CASE("slots take turns: the one that is not current is written, the other one stays") {
  Desk desk;
  for (uint64_t generation = 2; generation < 7; ++generation) {
    const Bytes before = ReadBytes(desk.path);
    desk.Edit(Set("k", std::to_string(generation)));
    const Bytes after = ReadBytes(desk.path);
    Report report;
    const HeaderPair pair = ReadHeader(ByteSpan(after).first(kHeaderSize), after.size(), report);
    REQUIRE(report.ok());
    CHECK(pair.current == (generation % 2 == 0 ? 1 : 0));
    CHECK(pair.header.generation == generation);
    const auto other = static_cast<std::ptrdiff_t>(generation % 2 == 0 ? 0 : kSlotSize);
    CHECK(std::equal(after.begin() + other, after.begin() + other + kSlotSize, before.begin() + other));
    // Everything between the header and the old end is as it was.
    CHECK(std::equal(before.begin() + kHeaderSize, before.end(), after.begin() + kHeaderSize));
  }
}

}  // namespace
}  // namespace ingot::test

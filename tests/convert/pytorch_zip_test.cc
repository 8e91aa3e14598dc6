#include <doctest/doctest.h>

#include "convert/pytorch/zip_directory.h"
#include "tests/convert/pytorch_builder.h"

using namespace ingot;
using namespace ingot::test;
using namespace std::string_literals;

namespace {

Result<ZipDirectory> Read(const std::string& file) { return ReadZipDirectory(SourceOf(AsBytes(file)), "m.pt"); }

std::string ErrorOf(const Zip& zip) {
  const auto read = Read(zip.Bytes());
  return read ? "accepted" : read.error().message;
}

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// One member with something about it.
template <typename Change>
std::string ErrorWith(Change&& change) {
  Member member{.name = "m/a", .data = "12345678"};
  change(member);
  return ErrorOf({.members = {member}});
}

}  // namespace

TEST_CASE("members are found by name") {
  for (const bool wide : {false, true}) {
    for (const std::string& comment : {""s, "a comment with PK\x05\x06 in it"s}) {
      const Zip zip{.members = {{.name = "m/b", .data = "bb", .local_extra = "FB\x02\0ZZ"s},
                                {.name = "m/", .data = ""},
                                {.name = "m/a", .data = "", .flags = 0x0808}},
                    .wide = wide,
                    .comment = comment};
      const std::string file = zip.Bytes();
      const auto read = Read(file);
      REQUIRE_MESSAGE(read, read.error().message);
      REQUIRE(read->members.size() == 2);
      const ZipMember* b = read->Find("m/b");
      REQUIRE(b != nullptr);
      CHECK(b->size == 2);
      CHECK(file.substr(b->offset, 2) == "bb");
      CHECK(read->Find("m/a")->size == 0);
      CHECK(read->Find("m/c") == nullptr);
      CHECK(read->Find("m/") == nullptr);
    }
  }
  CHECK(Read(Zip{}.Bytes())->members.empty());
}

TEST_CASE("sizes and offsets may stand in the Zip64 field") {
  Member member{.name = "m/a", .data = "12345678"};
  member.central_size = UINT32_MAX;
  member.central_extra =
      "XX\x01\0x"s + Little(uint16_t{1}) + Little(uint16_t{16}) + Little(uint64_t{8}) + Little(uint64_t{8});
  CHECK(ErrorOf({.members = {member}}) == "accepted");
  member.central_extra.resize(member.central_extra.size() - 8);
  CHECK(Has(ErrorOf({.members = {member}}), "member 'm/a': its Zip64 sizes are cut off"));
  member.central_extra = Little(uint16_t{1}) + Little(uint16_t{8}) + Little(uint64_t{8});
  CHECK(Has(ErrorOf({.members = {member}}), "its Zip64 sizes are cut off"));
  member.central_extra = Little(uint16_t{1}) + Little(uint16_t{16}) + Little(UINT64_MAX) + Little(UINT64_MAX);
  CHECK(Has(ErrorOf({.members = {member}}), "do not lie before the directory"));
}

TEST_CASE("every rule that an archive can break") {
  CHECK(Has(ErrorWith([](Member& m) { m.method = 8; }), "member 'm/a': compressed (method 8)"));
  CHECK(Has(ErrorWith([](Member& m) { m.flags = 1; }), "encrypted"));
  CHECK(Has(ErrorWith([](Member& m) { m.flags = 1 << 13; }), "encrypted"));
  CHECK(Has(ErrorWith([](Member& m) { m.disk = 1; }), "several parts"));
  CHECK(Has(ErrorWith([](Member& m) { m.local_name = "m/b"; }), "its header at byte 0 is not that of this member"));
  CHECK(Has(ErrorWith([](Member& m) { m.local_name = "m/abc"; }), "its header at byte 0 is not that of this member"));
  CHECK(Has(ErrorWith([](Member& m) { m.central_offset = 1; }), "its header at byte 1 is not that of this member"));
  CHECK(Has(ErrorWith([](Member& m) { m.central_offset = 40; }), "its header at byte 40 does not lie before"));
  CHECK(Has(ErrorWith([](Member& m) { m.central_size = 9; }),
            "its 9 bytes at byte 33 do not lie before the directory at byte 41"));
  CHECK(Has(ErrorWith([](Member& m) { m.name = m.local_name = "m/a/"; }), "8 bytes stored in 8"));
  for (const std::string& name : {"/a"s, ""s, "../a"s, "m/../a"s, "m/./a"s, "m//a"s, "m\\a"s, "m/a\0"s, "m/\xff"s}) {
    CAPTURE(name);
    CHECK(Has(ErrorWith([&](Member& m) { m.name = m.local_name = name; }), "not a name that a member may have"));
  }
  const Member a{.name = "m/a", .data = "12345678"};
  CHECK(Has(ErrorOf({.members = {a, a}}), "member 'm/a': stands twice"));
  Member inside{.name = "m/b", .data = "1"};
  inside.central_offset = 33;  // within the bytes of the first
  Member outer{.name = "m/a", .data = Zip{.members = {{.name = "m/b", .data = "1"}}}.Bytes()};
  CHECK(Has(ErrorOf({.members = {outer, inside}}), "member 'm/b': overlaps member 'm/a'"));
  Member same{.name = "m/a", .data = "1"};
  CHECK(Has(ErrorOf({.members = {same}, .count = 2}), "no entry 1 of 2"));
  CHECK(Has(ErrorOf({.members = {same}, .count = 0}), "bytes follow the last entry"));
  CHECK(Has(ErrorOf({.members = {same}, .wide = true, .count = 1, .wide_count = 2}), "disagree"));
  CHECK(Has(ErrorOf({.members = {same}, .wide = true, .count = 0xFFFF, .wide_count = UINT64_MAX}),
            "18446744073709551615 members"));
  CHECK(ErrorOf({.members = {same}, .before_end = "signature"}) == "accepted");
}

TEST_CASE("the end of an archive") {
  const std::string file = Zip{.members = {{.name = "m/a", .data = "1"}}, .wide = true}.Bytes();
  for (size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK(Has(Read(file.substr(0, size)).error().message, "m.pt: truncated"));
  }
  CHECK_FALSE(Read(file + "x"));
  const size_t end = file.size() - 22, locator = end - 20, wide = locator - 56;
  const auto with = [&](size_t at, const std::string& bytes) {
    std::string changed = file;
    changed.replace(at, bytes.size(), bytes);
    const auto read = Read(changed);
    return read ? "accepted" : read.error().message;
  };
  CHECK(Has(with(end + 4, Little(uint16_t{1})), "several parts"));
  CHECK(Has(with(end + 8, Little(uint16_t{0})), "several parts"));
  CHECK(Has(with(end + 16, Little(uint32_t{1})), "disagree"));
  CHECK(Has(with(locator + 8, Little(UINT64_MAX)), "no Zip64 end record at byte 18446744073709551615"));
  CHECK(Has(with(locator + 8, Little(uint64_t{0})), "no Zip64 end record at byte 0"));
  CHECK(Has(with(locator + 16, Little(uint32_t{2})), "several parts"));
  CHECK(Has(with(wide + 16, Little(uint32_t{1})), "several parts"));
  std::string far = file;
  far.replace(end + 12, 8, std::string(8, '\xff'));
  far.replace(wide + 40, 8, Little(UINT64_MAX));
  CHECK(Has(Read(far).error().message, "does not lie before its end record"));
}

TEST_CASE("a CRC that is there is checked") {
  const std::string file = "123456789";
  const ByteSource source = SourceOf(AsBytes(file));
  CHECK(CheckZipMember(source, {"m/a", 0, 9, 0xCBF43926}, "m.pt"));
  CHECK(CheckZipMember(source, {"m/a", 0, 9, 0}, "m.pt"));
  const auto damaged = CheckZipMember(source, {"m/a", 0, 8, 0xCBF43926}, "m.pt");
  REQUIRE_FALSE(damaged);
  CHECK(Has(damaged.error().message, "m.pt: member 'm/a': damaged: its CRC is 9ae0daaf, the directory says cbf43926"));
}

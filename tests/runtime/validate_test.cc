#include "runtime/validate.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "format/layout.h"
#include "runtime/model.h"
#include "tests/support/sample_index.h"
#include "tests/support/temp_directory.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

using Rules = std::set<std::string>;

Validation Validate(const std::string& path, bool structure_only = false) {
  ValidateOptions options;
  options.structure_only = structure_only;
  auto result = ValidateFile(path, options);
  REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
  return *result;
}

Rules RulesOf(const Validation& v) {
  Rules rules;
  for (const Violation& violation : v.violations) {
    CHECK_FALSE(violation.place.empty());
    CHECK_FALSE(violation.message.empty());
    rules.emplace(violation.rule);
  }
  return rules;
}

// Adds a U8 tensor of the given bytes.
WrittenPlane AddTensor(ImageBuilder& image, IndexBuilder& builder, const std::string& name, ByteSpan bytes) {
  const WrittenPlane plane = image.Add(bytes);
  const std::vector<uint64_t> shape = {plane.size};
  builder.AddTensor(name, DType::kU8, shape, 0, {{plane.size, builder.AddEncoding(EncodingKind::kRaw, {}, {plane})}});
  return plane;
}

TEST_CASE("every valid vector is valid; only those that say so warn") {
  for (const std::string& stem : ValidVectors()) {
    CAPTURE(stem);
    const Validation v = Validate(stem + ".ingot");
    CHECK_MESSAGE(v.valid(), (v.valid() ? "" : v.violations[0].message));
    CHECK(v.complete);
    CHECK(v.warnings.empty() == (stem.find("/warn-") == std::string::npos));
    CHECK(Validate(stem + ".ingot", true).valid());
  }
}

TEST_CASE("every invalid vector breaks exactly its rule") {
  for (const InvalidVector& vector : InvalidVectors()) {
    const auto& name = vector.name;
    const auto& path = vector.path;
    const auto& rule = vector.rule;
    CAPTURE(name);
    CHECK(RulesOf(Validate(path)) == Rules{rule});
    const bool in_shard = name == "R-SHD-4-bad-chunk.ingot";
    CHECK(Validate(path, true).valid() == (NeedsPlanes(rule) || in_shard));
  }
}

TEST_CASE("any flipped bit of the file that has everything makes it invalid") {
  const TempDirectory folder;
  const Bytes good = ReadBytes(kVectors + "valid/everything.ingot");
  const std::string path = folder.Write("x", good);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](size_t at, std::byte value) {
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(value));
    file.flush();
  };
  size_t unnoticed = 0;
  for (size_t at = 0; at < good.size(); at += at < 200 || at > kHeaderSize ? 5 : 97) {
    put(at, good[at] ^ static_cast<std::byte>(1 << (at * 7 % 8)));
    unnoticed += Validate(path).valid();
    put(at, good[at]);
  }
  CHECK(unnoticed == 0);
  CHECK(Validate(path).valid());
  for (size_t size = 0; size < good.size(); size += 509) {
    CHECK_FALSE(Validate(folder.Write("short", ByteSpan(good).first(size))).valid());
  }
}

TEST_CASE("one bad slot: the file opens, and is not valid") {
  const TempDirectory folder;
  for (size_t slot : {size_t{0}, size_t{1}}) {
    Bytes bytes = ReadBytes(kVectors + "valid/smallest.ingot");
    bytes[slot * kSlotSize + 1000] ^= std::byte{1};
    const std::string path = folder.Write("x.ingot", bytes);
    CHECK(Model::Open(path));
    CHECK(RulesOf(Validate(path)) == Rules{"R-HDR-2"});
    bytes[(1 - slot) * kSlotSize] ^= std::byte{1};
    folder.Write("x.ingot", bytes);
    CHECK_FALSE(Model::Open(path));
    CHECK(RulesOf(Validate(path)) == Rules{"R-HDR-1", "R-HDR-2"});
  }
}

TEST_CASE("all damaged chunks are found, each with its owner, in the order of the file") {
  const TempDirectory folder;
  ImageBuilder image;
  IndexBuilder builder;
  std::vector<uint64_t> offsets;
  for (unsigned i = 0; i < 5; ++i) {
    const Bytes bytes = Pattern(2 * kChunkSize + 100, i);
    offsets.push_back(AddTensor(image, builder, "t" + std::to_string(i), bytes).offset);
  }
  const WrittenPlane attached = image.Add(Pattern(10, 9));
  builder.AddAttachment("config.json", attached);
  Bytes bytes = image.Finish(builder);
  for (uint64_t at : {offsets[1], offsets[1] + 2 * kChunkSize, offsets[4] + kChunkSize + 7, attached.offset}) {
    bytes[at] ^= std::byte{1};
  }
  const Validation v = Validate(folder.Write("x.ingot", bytes));
  REQUIRE(v.violations.size() == 4);
  const std::string places[] = {"plane 1, chunk 0 of tensor 't1'", "plane 1, chunk 2 of tensor 't1'",
                                "plane 4, chunk 1 of tensor 't4'", "plane 5, chunk 0 of attachment 'config.json'"};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(v.violations[i].rule == "R-CHK-1");
    CHECK(v.violations[i].place == places[i]);
  }
  CHECK(v.bytes == 5 * (2 * kChunkSize + 100) + 10);
}

TEST_CASE("progress goes up to the whole; whoever says stop is told so") {
  const TempDirectory folder;
  ImageBuilder image;
  IndexBuilder builder;
  const uint64_t size = AddTensor(image, builder, "t", Pattern(40 * kChunkSize, 1)).size;
  const std::string path = folder.Write("x.ingot", image.Finish(builder));
  uint64_t last = 0;
  ValidateOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    CHECK(done >= last);
    CHECK(total == size);
    last = done;
    return true;
  };
  REQUIRE(ValidateFile(path, options));
  CHECK(last == size);
  int calls = 0;
  options.progress = [&](uint64_t, uint64_t) {
    ++calls;
    return false;
  };
  const auto stopped = ValidateFile(path, options);
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().code == ErrorCode::kInterrupted);
  CHECK(calls == 1);
}

TEST_CASE("a file that cannot be read is an error, not an invalid file") {
  const TempDirectory folder;
  for (const std::string& path : {folder / "missing", folder.path()}) {
    const auto result = ValidateFile(path);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::kIo);
  }
  CHECK(RulesOf(Validate(folder.Write("empty", {}))) == Rules{"R-FILE-1"});
}

TEST_CASE("a list that is too long is cut and says so") {
  const TempDirectory folder;
  ImageBuilder image;
  IndexBuilder builder;
  for (int i = 0; i < 1100; ++i) {
    builder.SetMetadata("k" + std::to_string(i), {MetadataType::kBool, MetadataType::kBool, Bytes(1, std::byte{2})});
  }
  const Validation v = Validate(folder.Write("x.ingot", image.Finish(builder)));
  CHECK_FALSE(v.complete);
  CHECK(v.violations.size() == 1000);
}

}  // namespace
}  // namespace ingot::test

#include "runtime/container.h"

#include <doctest/doctest.h>

#include <array>

#include "tests/support/sample_index.h"
#include "tests/support/temp_directory.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

std::shared_ptr<const Container> Open(const std::string& path) {
  auto container = Container::Open(path);
  REQUIRE_MESSAGE(container, (container ? "" : container.error().message));
  return *container;
}

void CheckMetadata(const Index& index, const nlohmann::json& expected) {
  static constexpr std::array kTypes = {"bool", "u8",  "i8",  "u16", "i16",    "u32",  "i32",
                                        "u64",  "i64", "f32", "f64", "string", "array"};
  REQUIRE(index.count(Table::kMetadata) == expected.size());
  for (uint32_t i = 0; i < index.count(Table::kMetadata); ++i) {
    const MetadataRecord m = index.metadata(i);
    const auto& entry = expected[std::string(m.key)];
    CHECK(entry["type"] == kTypes[m.type]);
    if (m.type == 12) CHECK(entry["element"] == kTypes[m.element_type]);
    CHECK(Matches(m.value, entry["hex"]));
  }
}

void CheckAttachments(const Container& container, const nlohmann::json& expected) {
  const Index& index = container.index();
  REQUIRE(index.count(Table::kAttachments) == expected.size());
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) {
    const AttachmentRecord a = index.attachment(i);
    const auto bytes = a.plane == kNoRecord ? Bytes{} : container.ReadPlane(a.plane).value();
    CHECK(Matches(bytes, expected[std::string(a.name)]));
  }
}

TEST_CASE("metadata, attachments, sources and shards of every valid vector") {
  for (const std::string& stem : ValidVectors()) {
    CAPTURE(stem);
    const auto expected = ReadJsonFile(stem + ".expected.json");
    const auto container = Open(stem + ".ingot");
    const Index& index = container->index();
    CheckMetadata(index, expected["metadata"]);
    CheckAttachments(*container, expected["attachments"]);
    REQUIRE(index.count(Table::kSources) == expected["sources"].size());
    for (uint32_t i = 0; i < index.count(Table::kSources); ++i) {
      const SourceRecord s = index.source(i);
      const auto& entry = expected["sources"][std::string(s.name)];
      CHECK(s.size == entry["size"]);
      CHECK("xxh3:" + ToHex(s.hash) == entry["hash"]);
    }
    REQUIRE(index.count(Table::kShards) == (expected.contains("shards") ? expected["shards"].size() : 0));
    for (uint32_t i = 0; i < index.count(Table::kShards); ++i) {
      const ShardRecord s = index.shard(i);
      const auto& entry = expected["shards"][std::string(s.name)];
      CHECK("xxh3:" + ToHex(s.names_digest) == entry["names_digest"]);
      CHECK("xxh3:" + ToHex(s.content_digest) == entry["content_digest"]);
    }
  }
}

TEST_CASE("every invalid vector: refused by its rule, or one that only a look at the planes finds") {
  size_t refused = 0;
  for (const InvalidVector& vector : InvalidVectors()) {
    const auto& name = vector.name;
    const auto& path = vector.path;
    const auto& rule = vector.rule;
    CAPTURE(name);
    const auto container = Container::Open(path);
    const bool later = NeedsPlanes(rule) || rule == "R-FILE-4" || (rule.starts_with("R-SHD-") && rule >= "R-SHD-4");
    const bool one_slot = (rule == "R-HDR-1" || rule == "R-HDR-2") && name.find("both") == std::string::npos;
    CHECK(container.has_value() == (later || one_slot));
    if (container) continue;
    ++refused;
    CHECK(container.error().code == ErrorCode::kBadInput);
    CHECK_MESSAGE(container.error().message.starts_with(path + ": " + rule + ": "), container.error().message);
  }
  CHECK(refused > 200);
}

TEST_CASE("planes are read in any order and verified; damage is named") {
  const TempDirectory folder;
  for (bool compress : {false, true}) {
    SampleIndex sample({.compress = compress});
    Header header;
    Bytes image = sample.Build(header);
    const std::string path = folder.Write("x.ingot", image);
    const auto container = Open(path);
    const Index& index = container->index();
    const uint32_t t = index.FindTensor("two chunks").value();
    const uint32_t plane = index.encoding(index.part(index.tensor(t).first_part).encoding).first_plane;
    CHECK(container->ReadPlane(plane) == Bytes(kChunkSize + 10));
    FrameDecoder decoder;
    Bytes last(10, std::byte{0xEE});
    REQUIRE(container->ReadChunk(plane, 1, decoder, last));
    CHECK(last == Bytes(10));

    image[index.plane(plane).offset + index.stored_size(index.plane(plane)) - 1] ^= std::byte{1};
    folder.Write("x.ingot", image);
    Bytes first(kChunkSize);
    CHECK(container->ReadChunk(plane, 0, decoder, first));
    const std::string damage =
        fmt::format("{}: {}: plane {}, chunk 1: ", path, compress ? "R-FRM-6" : "R-CHK-1", plane);
    const auto check = [&](const auto& read) {
      REQUIRE_FALSE(read);
      CHECK(read.error().code == ErrorCode::kBadInput);
      CHECK_MESSAGE(read.error().message.starts_with(damage), read.error().message);
    };
    check(container->ReadChunk(plane, 1, decoder, last));
    check(container->ReadPlane(plane));
  }
}

TEST_CASE("an index of many megabytes is read as a small one is") {
  const TempDirectory folder;
  IndexBuilder builder;
  const std::string text(5u << 20, 'x');
  for (const char* key : {"a", "b"}) builder.SetMetadata(key, MetadataValue::String(text));
  ImageBuilder image;
  const auto container = Open(folder.Write("x.ingot", image.Finish(builder)));
  CHECK(AsText(container->index().FindMetadata("b")->value) == text);
}

TEST_CASE("every truncation is refused by name") {
  const TempDirectory folder;
  const Bytes image = ReadBytes(kVectors + "valid/smallest.ingot");
  for (size_t size = 0; size < image.size(); size += size < 8100 ? 1001 : 7) {
    const auto container = Container::Open(folder.Write("x", ByteSpan(image).first(size)));
    REQUIRE_FALSE(container);
    CHECK(Contains(container.error().message, size < kHeaderSize ? "R-FILE-1" : "R-FILE-2: file: truncated"));
  }
}

}  // namespace
}  // namespace ingot::test

#include "convert/gguf/gguf_header.h"

#include <doctest/doctest.h>

#include <functional>

#include "convert/safetensors.h"
#include "tests/support/gguf_file.h"
#include "tests/support/temp_directory.h"

namespace ingot::test {
namespace {

using Bytes = std::vector<std::byte>;
using namespace std::string_literals;

Result<GgufHeader> Read(const Bytes& file) { return ReadGgufHeader(SourceOf(ByteSpan(file)), "m.gguf"); }

// Two tensors and a key of each kind.
GgufFile Sample() {
  GgufFile file;
  file.keys = {GgufKey("general.name", 8, GgufText("n\xC3\xA4me")), GgufNumber("a.count", 4, uint32_t{7})};
  file.tensors = {{"w", {64, 3}, 2, RandomBlocks(2 * 3 * 18, 1)}, {"bias", {5}, 0, RandomBlocks(20, 2)}};
  return file;
}

TEST_CASE("a header is read") {
  const Bytes file = Sample().Build();
  const auto header = Read(file);
  REQUIRE_MESSAGE(header, header.error().message);
  CHECK(header->version == 3);
  REQUIRE(header->tensors.size() == 2);
  const GgufTensorInfo& w = header->tensors[0];
  CHECK(w.name == "w");
  CHECK(w.shape == std::vector<uint64_t>{3, 64});
  CHECK(w.type->name == "Q4_0");
  CHECK(w.size == 108);
  CHECK(w.offset % 32 == 0);
  CHECK(w.element_count() == 192);
  CHECK(header->tensors[1].offset == w.offset + 128);
  REQUIRE(header->metadata.size() == 2);
  CHECK(header->metadata[0].first == "a.count");
  CHECK(header->Find("general.name")->type == MetadataType::kString);
  CHECK(AsText(header->Find("general.name")->bytes) == "n\xC3\xA4me");
  CHECK(header->Find("nothing") == nullptr);
  Bytes short_file = file;
  short_file.resize(header->tensors[1].offset + 20);  // without the padding of the last tensor
  CHECK(Read(short_file));
  for (size_t size = 0; size < short_file.size(); ++size) {
    const auto cut = Read(Bytes(file.begin(), file.begin() + static_cast<ptrdiff_t>(size)));
    REQUIRE_FALSE(cut);
    REQUIRE(cut.error().code == ErrorCode::kBadInput);
  }
}

TEST_CASE("what a reader accepts") {
  GgufFile file;
  CHECK(Read(file.Build()));
  file.version = 2;
  CHECK(Read(file.Build()));
  file.tensors = {{"scalar", {}, 0, Bytes(4)},
                  {"none", {64, 0}, 2, {}},
                  {"none of none", {0, 0, 0, 0}, 14, {}},
                  {std::string(63, 'n'), {1, 1, 1, 1}, 28, Bytes(8)},
                  {"foreign", {256, 2}, 29, Bytes(112)}};
  auto header = Read(file.Build());
  REQUIRE_MESSAGE(header, header.error().message);
  CHECK(header->tensors[0].shape.empty());
  CHECK(header->tensors[1].shape == std::vector<uint64_t>{0, 64});
  CHECK(header->tensors[1].size == 0);
  CHECK(header->tensors[3].shape.size() == 4);
  CHECK(header->tensors[4].type->import == GgufImport::kForeign);
  for (const uint32_t alignment : {1u, 2u, 8u, 64u, 4096u}) {
    file.alignment = alignment;
    file.keys = {GgufNumber("general.alignment", 4, alignment)};
    header = Read(file.Build());
    REQUIRE_MESSAGE(header, header.error().message);
    CHECK(header->tensors[3].offset % alignment == 0);
  }
}

TEST_CASE("every type of metadata keeps its bits") {
  struct Row {
    uint32_t number;
    MetadataType type;
    size_t size;
  };
  const Row rows[] = {{0, MetadataType::kU8, 1},   {1, MetadataType::kI8, 1},   {2, MetadataType::kU16, 2},
                      {3, MetadataType::kI16, 2},  {4, MetadataType::kU32, 4},  {5, MetadataType::kI32, 4},
                      {6, MetadataType::kF32, 4},  {7, MetadataType::kBool, 1}, {10, MetadataType::kU64, 8},
                      {11, MetadataType::kI64, 8}, {12, MetadataType::kF64, 8}};
  GgufFile file;
  for (const Row& row : rows) {
    const std::string name = std::to_string(row.number);
    const Bytes value = row.number == 7 ? Bytes{std::byte{1}} : RandomBlocks(row.size, row.number);
    file.keys.push_back(GgufKey("one " + name, row.number, value));
    Bytes many;
    for (int i = 0; i < 3; ++i) Append(many, ByteSpan(value));
    file.keys.push_back(GgufArray("many " + name, row.number, 3, many));
    file.keys.push_back(GgufArray("none " + name, row.number, 0, {}));
  }
  Bytes texts = GgufText("");
  Append(texts, ByteSpan(GgufText("two")));
  file.keys.push_back(GgufArray("texts", 8, 2, texts));
  const auto header = Read(file.Build());
  REQUIRE_MESSAGE(header, header.error().message);
  for (const Row& row : rows) {
    const std::string name = std::to_string(row.number);
    const MetadataValue &one = *header->Find("one " + name), &many = *header->Find("many " + name),
                        &none = *header->Find("none " + name);
    CHECK(one.type == row.type);
    CHECK(one.bytes == (row.number == 7 ? Bytes{std::byte{1}} : RandomBlocks(row.size, row.number)));
    CHECK(many.type == MetadataType::kArray);
    CHECK(many.element_type == row.type);
    CHECK(many.bytes.size() == 3 * row.size);
    CHECK(none.element_type == row.type);
    CHECK(none.bytes.empty());
  }
  CHECK(AsText(header->Find("texts")->bytes) == "\0\0\0\0\3\0\0\0two"s);
}

TEST_CASE("what is wrong is named") {
  struct Row {
    std::function<void(GgufFile&)> damage;
    std::string part;
  };
  const uint64_t huge = uint64_t{1} << 62;
  const auto key = [](Bytes bytes) { return [bytes](GgufFile& f) { f.keys.push_back(bytes); }; };
  const auto tensor = [](GgufTensorSpec spec) {
    return [spec](GgufFile& f) { f.tensors.insert(f.tensors.begin(), spec); };
  };
  const Row rows[] = {
      {[](GgufFile& f) { f.magic = "GGML"; }, "not a GGUF file: it begins with 'GGML'"},
      {[](GgufFile& f) { f.version = 1; }, "version 1, supported are 2 to 3"},
      {[](GgufFile& f) { f.version = 0; }, "version 0, supported"},
      {[](GgufFile& f) { f.version = 4; }, "version 4, supported"},
      {[](GgufFile& f) { f.version = 3u << 24; }, "a big-endian file (version 3)"},
      {[&](GgufFile& f) { f.tensor_count = huge; }, "truncated: 4611686018427387904 tensors in a file of "},
      {[&](GgufFile& f) { f.key_count = UINT64_MAX; }, "truncated: 18446744073709551615 metadata keys"},
      {[&](GgufFile& f) { f.key_count = 3; }, "tensor 1 of 2: truncated: "},
      {[&](GgufFile& f) { f.tensor_count = 3; }, "tensor 3 of 3: its name is empty"},
      {key(GgufKey("", 4, Bytes(4))), "metadata key 3 of 3: it is empty"},
      {key(GgufKey("\xFF", 4, Bytes(4))), "metadata key 3 of 3: '\\xff' is not UTF-8"},
      {key(GgufKey("a.count", 4, Bytes(4))), "metadata key 'a.count' stands twice"},
      {key(GgufKey("k", 13, Bytes(4))), "metadata key 'k': value type 13 is not known, the last one is 12"},
      {key(GgufArray("k", 77, 1, Bytes(4))), "metadata key 'k': element type 77 is not known"},
      {key(GgufArray("k", 9, 1, Bytes(12))), "metadata key 'k': an array of arrays is not supported"},
      {key(GgufArray("k", 4, huge, Bytes(4))), "metadata key 'k': truncated: 4611686018427387904 values of 4 bytes"},
      {key(GgufArray("k", 8, huge, {})), "metadata key 'k': "},
      {key(GgufNumber("k", 7, uint8_t{2})), "metadata key 'k': a bool of 2, must be 0 or 1"},
      {key(GgufArray("k", 7, 2, AsBytes("\1\xFF"s))), "metadata key 'k': a bool of 255"},
      {key(GgufNumber("k", 8, huge)), "metadata key 'k': a string of 4611686018427387904 bytes"},
      {key(GgufNumber("k", 8, uint64_t{100000})), "metadata key 'k': truncated: 100000 bytes wanted at byte "},
      {key(GgufKey("k", 8, GgufText("a\x80"))), "metadata key 'k': the string 'a\\x80' is not UTF-8"},
      {key(GgufArray("k", 8, 1, GgufText("\xC3"))), "metadata key 'k': the string '\\xc3' is not UTF-8"},
      {key(GgufNumber("general.alignment", 4, uint32_t{48})), "general.alignment is 48, must be a power of two"},
      {key(GgufNumber("general.alignment", 4, uint32_t{0})), "general.alignment is 0, must be a power of two"},
      {key(GgufNumber("general.alignment", 10, uint64_t{32})), "general.alignment is not a u32"},
      {key(GgufNumber("general.alignment", 4, uint32_t{1} << 31)),
       "tensor 'w': truncated: 108 bytes at byte 2147483648"},
      {tensor({"", {1}, 0, Bytes(4)}), "tensor 1 of 3: its name is empty"},
      {tensor({"\xC0", {1}, 0, Bytes(4)}), "tensor 1 of 3: its name '\\xc0' is not UTF-8"},
      {tensor({std::string(64, 'x'), {1}, 0, Bytes(4)}), "tensor 1 of 3: a text of 64 bytes, at most 63"},
      {tensor({"bias", {1}, 0, Bytes(4)}), "tensor 'bias' stands twice"},
      {tensor({"x", {1, 1, 1, 1, 1}, 0, Bytes(4)}), "tensor 'x': 5 dimensions, at most 4 are allowed"},
      {tensor({"x", {1, UINT64_MAX}, 0, Bytes(4)}), "tensor 'x': dimension 1 is negative: -1"},
      {tensor({"x", {huge, 2}, 24, Bytes(4)}), "tensor 'x': shape [2, 4611686018427387904] of I8 overflows"},
      {tensor({"x", {huge, 4}, 24, Bytes(4)}), "tensor 'x': shape [4, 4611686018427387904] of I8 overflows"},
      {tensor({"x", {huge}, 28, Bytes(4)}), "tensor 'x': shape [4611686018427387904] of F64 overflows"},
      {tensor({"x", {1 << 24, 1 << 24}, 2, Bytes(4)}), "tensor 'x': 281474976710656 elements of Q4_0, less than"},
      {tensor({"x", {1 << 24, 1 << 24}, 29, Bytes(4)}), "tensor 'x': 281474976710656 elements of IQ1_M"},
      {tensor({"x", {48}, 2, Bytes(36)}), "tensor 'x': rows of 48 elements, must be a multiple of 32: blocks of Q4_0"},
      {tensor({"x", {}, 12, Bytes(144)}), "tensor 'x': rows of 1 elements, must be a multiple of 256"},
      {tensor({"x", {32, 8}, 12, Bytes(144)}), "tensor 'x': rows of 32 elements, must be a multiple of 256"},
      {tensor({"x", {32}, 43, Bytes(36)}), "tensor 'x': type 43 is not known, the last one is 42"},
      {tensor({"x", {32}, UINT32_MAX, Bytes(36)}), "tensor 'x': type 4294967295 is not known"},
      {tensor({"x", {32}, 1, Bytes(64), 32}), "tensor 'x': offset 32, expected 0: the first tensor begins at 0"},
      {tensor({"x", {32}, 1, Bytes(64), 16}), "tensor 'x': offset 16 is not a multiple of 32, the alignment"},
      {[](GgufFile& f) { f.tensors[1].offset = 96; }, "tensor 'bias': offset 96, expected 128: tensor 'w', with its"},
      {[](GgufFile& f) { f.tensors[1].offset = 0; }, "tensor 'bias': offset 0, expected 128"},
      {[&](GgufFile& f) { f.tensors[1].offset = huge; }, "tensor 'bias': offset 4611686018427387904, expected 128"},
      {[](GgufFile& f) { f.tensors[1].ne = {50}; }, "tensor 'bias': truncated: 200 bytes at byte "},
  };
  for (const Row& row : rows) {
    GgufFile file = Sample();
    row.damage(file);
    const auto header = Read(file.Build());
    CAPTURE(row.part);
    REQUIRE_FALSE(header);
    CHECK(header.error().code == ErrorCode::kBadInput);
    CHECK_MESSAGE(header.error().message.starts_with("m.gguf: " + row.part), header.error().message);
  }
}

TEST_CASE("types that are not supported are refused by name") {
  for (const GgufType& type : AllGgufTypes()) {
    GgufFile file;
    file.tensors = {{"x", {256}, type.id, Bytes(256 / type.block_elements * type.block_bytes)}};
    const auto header = Read(file.Build());
    CAPTURE(type.name);
    CHECK(header.has_value() == (type.import != GgufImport::kRefused));
    if (header) continue;
    CHECK(Contains(header.error().message,
                   fmt::format("tensor 'x': type {} ({}) is not supported: it ", type.id, type.name)));
  }
  CHECK(FindGgufType(14)->name == "Q6_K");
  CHECK(FindGgufType(200) == nullptr);
}

TEST_CASE("limits") {
  GgufFile file;
  file.keys = {GgufNumber(std::string(kMaxGgufKey, 'k'), 0, uint8_t{1})};
  CHECK(Read(file.Build()));
  file.keys = {GgufNumber(std::string(kMaxGgufKey + 1, 'k'), 0, uint8_t{1})};
  CHECK(Contains(Read(file.Build()).error().message, "metadata key 1 of 1: a text of 4092 bytes, at most 4091"));
  file.keys.clear();
  for (size_t i = 0; i <= kMaxGgufKeys; ++i) file.keys.push_back(GgufNumber(std::to_string(i), 0, uint8_t{1}));
  CHECK(Contains(Read(file.Build()).error().message, "65535 metadata keys, more than 65534 are not supported"));
  file.keys.pop_back();
  CHECK(Read(file.Build()));
  file.keys.clear();
  for (size_t i = 0; i <= kMaxTensors; ++i) file.tensors.push_back({std::to_string(i), {0}, 0, {}});
  CHECK(Contains(Read(file.Build()).error().message, "1048577 tensors, more than 1048576 are not supported"));
}

TEST_CASE("a source that fails") {
  const Bytes file = Sample().Build();
  const ByteSource source{
      file.size(), [](uint64_t, std::span<std::byte>) -> Status { return Fail(ErrorCode::kIo, "the disk is gone"); }};
  const auto header = ReadGgufHeader(source, "m.gguf");
  REQUIRE_FALSE(header);
  CHECK(header.error().code == ErrorCode::kIo);
}

}  // namespace
}  // namespace ingot::test

// GGUF files and sets of splits as sources.
#include "convert/gguf/gguf_source.h"

#include "tests/convert/convert_fixture.h"
#include "tests/support/gguf_file.h"

namespace ingot::test {
namespace {

// Split `number` of `count` with one tensor.
GgufFile Split(uint16_t number, uint16_t count) {
  GgufFile file;
  file.keys = {GgufNumber("split.no", 2, number), GgufNumber("split.count", 2, count),
               GgufNumber("split.tensors.count", 5, int32_t{count}),
               GgufKey(fmt::format("only.{}", number), 8, GgufText("x"))};
  file.tensors = {{fmt::format("t{}", number), {64, 2}, 2, RandomBlocks(72, number)}};
  return file;
}

std::string NameOfSplit(int number, int count) { return fmt::format("m-{:05}-of-{:05}.gguf", number, count); }

std::string ErrorOf(const std::string& path) {
  const auto source = OpenSource(path);
  if (source) return "accepted";
  CHECK(source.error().code == ErrorCode::kBadInput);
  return source.error().message;
}

TEST_CASE("a file: tensors in its order, metadata under gguf.") {
  Workshop shop;
  GgufFile file;
  file.keys = {GgufKey("general.name", 8, GgufText("it")), GgufNumber("split.count", 2, uint16_t{0}),
               GgufNumber(std::string(4091, 'k'), 0, uint8_t{5}), GgufArray("list", 3, 2, Bytes(4))};
  file.tensors = {{"z", {32}, 8, RandomBlocks(34, 1)}, {"a", {3}, 0, RandomBlocks(12, 2)}};
  const std::string path = shop.in().Write("anything", file.Build());
  const auto source = Workshop::Must(OpenSource(path));
  REQUIRE(source->tensors().size() == 2);
  CHECK(source->tensors()[0].name == "z");
  CHECK(source->tensors()[0].dtype == DType::kF32);
  CHECK(source->tensors()[0].size == 34);
  CHECK(source->files()[0].name == "anything");
  Bytes bytes(12);
  REQUIRE(source->Read(0, source->tensors()[1].offset, bytes));
  CHECK(bytes == RandomBlocks(12, 2));
  CHECK_FALSE(source->Read(1, 0, bytes));
  REQUIRE(shop.Convert(path, "x.ingot", {}));
  const auto model = Workshop::Must(Model::Open(shop.out() / "x.ingot"));
  const Index& index = model->main().index();
  CHECK(AsText(index.FindMetadata("gguf.general.name").value().value) == "it");
  CHECK(index.FindMetadata("gguf.split.count").value().type == static_cast<uint8_t>(MetadataType::kU16));
  CHECK(index.FindMetadata("gguf.list").value().element_type == static_cast<uint8_t>(MetadataType::kI16));
  CHECK(index.FindMetadata("gguf." + std::string(4091, 'k')));
  CHECK(index.source(0).hash == Xxh3_128(ReadBytes(path)));
}

TEST_CASE("a folder with one GGUF file") {
  Workshop shop;
  GgufFile file;
  file.tensors = {{"a", {3}, 0, RandomBlocks(12, 2)}};
  shop.in().Write("only.gguf", file.Build());
  // What it says of quantization concerns the checkpoint that the file was made from.
  shop.in().Write("config.json", AsBytes(R"({"quantization_config":{"quant_method":"gptq","bits":4}})"));
  const auto source = Workshop::Must(OpenSource(shop.in().path()));
  CHECK(source->kind() == "gguf");
  CHECK(source->attachments().size() == 1);
}

TEST_CASE("splits are opened with the first one") {
  Workshop shop;
  for (uint16_t i = 0; i < 3; ++i) shop.in().Write(NameOfSplit(i + 1, 3), Split(i, 3).Build());
  const std::string first = shop.in() / NameOfSplit(1, 3);
  const auto source = Workshop::Must(OpenSource(first));
  REQUIRE(source->tensors().size() == 3);
  CHECK(source->files().size() == 3);
  CHECK(source->tensors()[2].name == "t2");
  CHECK(source->tensors()[2].file == 2);
  REQUIRE(source->metadata().size() == 3);  // without those of the splits
  CHECK(source->metadata()[0].first == "only.0");
  CHECK(source->metadata()[2].first == "only.2");
  REQUIRE(shop.Convert(first, "x.ingot", {}));
  const auto model = Workshop::Must(Model::Open(shop.out() / "x.ingot"));
  CHECK(model->tensor_count() == 3);
  CHECK(model->main().index().count(Table::kSources) == 3);
  CHECK(DecodeTensor(*model, "t1").size() == 128);
  CHECK(Contains(ErrorOf(shop.in() / NameOfSplit(2, 3)),
                 "split 2 of 3; name the first one, which ends in -00001-of-00003.gguf"));
}

TEST_CASE("sets of splits that do not fit together") {
  struct Row {
    std::function<void(const TempDirectory&)> damage;
    std::string part;
  };
  const auto put = [](int number, const GgufFile& file) {
    return [=](const TempDirectory& dir) { dir.Write(NameOfSplit(number, 3), file.Build()); };
  };
  GgufFile no_number = Split(1, 3), no_count = Split(1, 3), same_tensor = Split(1, 3), wrong_type = Split(0, 3),
           more = Split(0, 3), negative = Split(0, 3), twice = Split(2, 3);
  no_number.keys.erase(no_number.keys.begin());
  no_count.keys.erase(no_count.keys.begin() + 1);
  same_tensor.tensors[0].name = "t0";
  wrong_type.keys[1] = GgufKey("split.count", 8, GgufText("3"));
  more.keys[2] = GgufNumber("split.tensors.count", 5, int32_t{4});
  negative.keys[2] = GgufNumber("split.tensors.count", 5, int32_t{-1});
  twice.keys[0] = GgufNumber("split.no", 2, uint16_t{1});
  const Row rows[] = {
      {put(2, GgufFile()), "00002-of-00003.gguf: split.count is missing, expected 3"},
      {put(2, Split(1, 4)), "00002-of-00003.gguf: split.count is 4, expected 3"},
      {put(2, no_count), "00002-of-00003.gguf: split.count is missing, expected 3"},
      {put(2, no_number), "00002-of-00003.gguf: split.no is missing, expected 1"},
      {put(3, twice), "00003-of-00003.gguf: split.no is 1, expected 2"},
      {put(2, same_tensor), "tensor 't0' is in two splits, 'm-00001-of-00003.gguf' and 'm-00002-of-00003.gguf'"},
      {put(1, wrong_type), "00001-of-00003.gguf: split.count is not a whole number of 0 or more"},
      {put(1, negative), "00001-of-00003.gguf: split.tensors.count is not a whole number of 0 or more"},
      {put(1, more), "00001-of-00003.gguf: split.tensors.count is 4, but the splits have 3 tensors"},
      {put(1, Split(0, 2)), "name does not end in -00001-of-00002.gguf"},
      {[](const TempDirectory& dir) { dir.Write(NameOfSplit(2, 3), AsBytes("GGUF")); }, "split 2 of 3: "},
  };
  for (const Row& row : rows) {
    CAPTURE(row.part);
    const TempDirectory dir;
    for (uint16_t i = 0; i < 3; ++i) dir.Write(NameOfSplit(i + 1, 3), Split(i, 3).Build());
    row.damage(dir);
    const std::string message = ErrorOf(dir / NameOfSplit(1, 3));
    CHECK_MESSAGE(Contains(message, row.part), message);
  }
  const TempDirectory dir;
  dir.Write(NameOfSplit(1, 2), Split(0, 2).Build());
  const auto missing = OpenSource(dir / NameOfSplit(1, 2));
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::kIo);
  CHECK(Contains(missing.error().message, "split 2 of 2: "));
  CHECK(Contains(missing.error().message, NameOfSplit(2, 2)));
}

}  // namespace
}  // namespace ingot::test

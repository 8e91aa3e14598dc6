// Models and tensor readers, on all valid vectors and on manifests.
#include "runtime/model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "runtime/tensor_reader.h"
#include "tests/support/formula.h"
#include "tests/support/image_builder.h"
#include "tests/support/temp_directory.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

std::shared_ptr<const Model> Open(const std::string& path) {
  auto model = Model::Open(path);
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  return *model;
}

// Decodes a tensor as a whole and in random pieces.
std::vector<float> Decode(const TensorReader& reader, std::mt19937& random) {
  std::vector<float> out(reader.element_count());
  REQUIRE(reader.Decode(0, out.size(), out.data()));
  for (int i = 0; i < 8 && !out.empty(); ++i) {
    const uint64_t first = random() % out.size(), count = random() % (out.size() - first + 1);
    std::vector<float> piece(count);
    REQUIRE(reader.Decode(first, count, piece.data()));
    const auto from = out.begin() + static_cast<std::ptrdiff_t>(first);
    REQUIRE(CountDifferences(piece, {from, from + static_cast<std::ptrdiff_t>(count)}) == 0);
  }
  return out;
}

void CheckTensor(const Model& model, uint32_t number, const nlohmann::json& expected, std::mt19937& random) {
  const TensorRecord t = model.tensor(number);
  CHECK(InfoOf(static_cast<DType>(t.dtype)).name == expected["dtype"].get<std::string>());
  CHECK(t.shape() == expected["shape"].get<std::vector<uint64_t>>());
  const auto reader = TensorReader::Open(model, number);
  if (expected.contains("refused")) {
    REQUIRE_FALSE(reader);
    CHECK(reader.error().code == ErrorCode::kUnsupported);
    CHECK_MESSAGE(Contains(reader.error().message, "cannot be decoded: its encoding is"), reader.error().message);
    return;
  }
  REQUIRE_MESSAGE(reader, (reader ? "" : reader.error().message));
  CHECK(reader->shape() == t.shape());
  CHECK(reader->is_raw() == expected.contains("raw"));
  CHECK(InfoOf(reader->dtype()).is_float == expected.contains("f32"));
  if (expected.contains("f32")) {
    std::vector<float> values = Decode(*reader, random);
    for (float& v : values) {
      if (std::isnan(v)) v = std::bit_cast<float>(0x7FC00000u);  // as the vectors write every NaN
    }
    CHECK(Matches(std::as_bytes(std::span(values)), expected["f32"]));
  } else if (reader->element_count() > 0) {
    float value;
    CHECK_FALSE(reader->Decode(0, 1, &value));
  }
  Bytes raw(reader->element_count() * InfoOf(reader->dtype()).size);
  const Status read = reader->ReadRaw(0, reader->element_count(), raw.data());
  REQUIRE(read.has_value() == expected.contains("raw"));
  if (read) CHECK(Matches(raw, expected["raw"]));
}

TEST_CASE("every tensor of every valid vector has the expected values, bit for bit") {
  std::mt19937 random(1);
  size_t tensors = 0;
  for (const std::string& stem : ValidVectors()) {
    const auto expected = ReadJsonFile(stem + ".expected.json");
    const auto model = Open(stem + ".ingot");
    CAPTURE(stem);
    CHECK("xxh3:" + ToHex(model->ContentDigest()) == expected["content_digest"]);
    if (!expected.contains("shards")) {
      CHECK("xxh3:" + ToHex(Digests(model->main().index()).first) == expected["names_digest"]);
    }
    REQUIRE(model->tensor_count() == expected["tensors"].size());
    for (const auto& [key, tensor] : expected["tensors"].items()) {
      const std::string& name = key;  // clang 14 captures no structured binding
      CAPTURE(name);
      const auto number = model->Find(name);
      REQUIRE(number);
      CHECK(model->tensor(*number).name == name);
      CheckTensor(*model, *number, tensor, random);
      ++tensors;
    }
    CHECK_FALSE(model->Find("no such tensor"));
  }
  CHECK(tensors > 250);
}

TEST_CASE("a manifest: its shards' tensors are one list, in the order of their names") {
  const auto model = Open(kVectors + "valid/manifest.ingot");
  CHECK(model->containers().size() == 3);
  CHECK(&model->main() == model->containers()[0].get());
  std::vector<std::string> names;
  for (uint32_t i = 0; i < model->tensor_count(); ++i) {
    names.emplace_back(model->tensor(i).name);
    CHECK(model->Find(names.back()) == i);
    CHECK(model->id(i).container != 0);
    CHECK(&model->container_of(i) == model->containers()[model->id(i).container].get());
  }
  CHECK(names == std::vector<std::string>{"a", "b", "c", "d"});
}

TEST_CASE("manifests that are not right are refused by their rule, before any plane is read") {
  for (const InvalidVector& vector : InvalidVectors()) {
    const auto& name = vector.name;
    const auto& path = vector.path;
    const auto& rule = vector.rule;
    if (!rule.starts_with("R-SHD-")) continue;
    CAPTURE(name);
    const auto model = Model::Open(path);
    // One bad slot or chunk of a shard is found by validation, not by opening.
    if (name == "R-SHD-4-bad-chunk.ingot" || name == "R-SHD-4-bad-slot.ingot") {
      CHECK(model);
      continue;
    }
    REQUIRE_FALSE(model);
    CHECK_MESSAGE(Contains(model.error().message, rule), model.error().message);
    CHECK_MESSAGE(model.error().message.starts_with(path), model.error().message);
  }
}

TEST_CASE("a shard that is missing, foreign or stale") {
  const TempDirectory folder;
  const std::string first = "manifest-00001-of-00002.ingot", second = "manifest-00002-of-00002.ingot";
  for (const std::string& name : {std::string("manifest.ingot"), first, second}) {
    folder.Write(name, ReadBytes(kVectors + "valid/" + name));
  }
  const auto refusal = [&]() -> std::string {
    const auto model = Model::Open(folder / "manifest.ingot");
    return model ? "" : model.error().message;
  };
  REQUIRE(refusal().empty());
  const Bytes good = ReadBytes(folder / second);
  std::filesystem::remove(folder / second);
  CHECK(Contains(refusal(), "No such file"));
  CHECK(Contains(refusal(), second));
  folder.Write(second, ReadBytes(folder / first));
  CHECK(Contains(refusal(), "R-SHD-5"));
  folder.Write(second, ByteSpan(good).first(good.size() - 1));
  CHECK(Contains(refusal(), "R-FILE-2"));
  folder.Write(second, good);
  CHECK(refusal().empty());
}

TEST_CASE("damaged planes and index planes that break a rule are refused by the reader of that tensor") {
  size_t refused = 0;
  for (const InvalidVector& vector : InvalidVectors()) {
    const auto& name = vector.name;
    const auto& path = vector.path;
    const auto& rule = vector.rule;
    const bool damage = rule == "R-CHK-1" || rule == "R-FRM-6" || rule == "R-FRM-7";
    if (!damage && !rule.starts_with("R-PERM-") && !rule.starts_with("R-OUT-")) continue;
    CAPTURE(name);
    const auto model = Open(path);
    std::string messages;
    for (uint32_t i = 0; i < model->tensor_count(); ++i) {
      const auto reader = TensorReader::Open(*model, i);
      if (!reader) messages += reader.error().message;
    }
    CHECK_MESSAGE(Contains(messages, rule), messages);
    refused += !messages.empty();
  }
  CHECK(refused >= 20);
}

TEST_CASE("aliases share parts with an earlier tensor, and nothing else is one") {
  const auto model = Open(kVectors + "valid/aliases.ingot");
  size_t aliases = 0;
  for (uint32_t i = 0; i < model->tensor_count(); ++i) {
    bool shared = false;
    for (uint32_t k = 0; k < i; ++k) shared |= model->tensor(k).first_part == model->tensor(i).first_part;
    CHECK(model->is_alias(i) == shared);
    aliases += shared;
  }
  CHECK(aliases > 0);
}

// Adds an encoding and its children, planes and all.
uint32_t Add(ImageBuilder& image, IndexBuilder& builder, const Numbers& n, uint64_t& bytes) {
  std::vector<uint32_t> children;
  for (int i = 0; i < 3; ++i) {
    if (n.operand(i).form != OperandForm::kNested) continue;
    children.push_back(Add(image, builder, *n.groups[static_cast<size_t>(i)].nested, bytes));
  }
  std::vector<WrittenPlane> planes;
  for (const Bytes& plane : n.Planes()) {
    planes.push_back(image.Add(plane));
    bytes += plane.size();
  }
  return builder.AddEncoding(EncodingKind::kLinear, EncodeLinear(n.linear), planes, children);
}

TEST_CASE("encodings at random through a file: the values of the formula, and their sizes") {
  const TempDirectory folder;
  Dice dice(2);
  std::mt19937 random(3);
  for (int round = 0; round < 10; ++round) {
    ImageBuilder image;
    IndexBuilder builder;
    std::vector<std::vector<float>> expected;
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < 20; ++i) {
      const uint64_t rows = 1 + dice.Below(5), cols = 1 + dice.Below(90);
      const Numbers n = dice.Fill(dice.AnyLinear(rows, cols, false));
      const std::vector<uint64_t> shape = {rows, cols};
      builder.AddTensor("t" + std::to_string(100 + i), DType::kF32, shape, 0, {{rows, Add(image, builder, n, bytes)}});
      expected.push_back(n.Values());
    }
    const auto model = Open(folder.Write("x.ingot", image.Finish(builder)));
    uint64_t sum = 0, stored = 0;
    for (uint32_t i = 0; i < 20; ++i) {
      const auto reader = TensorReader::Open(*model, i);
      REQUIRE_MESSAGE(reader, (reader ? "" : reader.error().message));
      REQUIRE(CountDifferences(Decode(*reader, random), expected[i]) == 0);
      sum += PlaneBytesOf(model->main().index(), model->tensor(i));
      stored += StoredBytesOf(model->main().index(), model->tensor(i));
    }
    CHECK(sum == bytes);
    CHECK(stored == bytes);
  }
}

TEST_CASE("descriptions and folders") {
  const auto model = Open(kVectors + "valid/everything.ingot");
  const auto text = [&](const char* name) {
    return DescribeTensor(model->main().index(), model->tensor(model->Find(name).value()));
  };
  CHECK(text("scalar") == "raw F64");
  CHECK(text("foreign").starts_with("foreign "));
  CHECK(text("parts").substr(1).starts_with(" parts: "));
  CHECK(text("full").starts_with("linear "));
  CHECK(FolderOf("a/b/c") == "a/b/");
  CHECK(FolderOf("c") == "");
  CHECK(FolderOf("/c") == "/");
}

}  // namespace
}  // namespace ingot::test

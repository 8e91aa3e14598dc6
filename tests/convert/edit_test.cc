#include "convert/edit.h"

#include <doctest/doctest.h>

#include <random>

#include "runtime/model.h"
#include "tests/convert/desk.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

// Everything about tensors, and about metadata and attachments but for the planes' numbers.
std::string TensorsOf(const Container& container) {
  const auto [names, content] = Digests(container.index());
  std::string out = ToHex(names) + ToHex(content);
  for (uint32_t i = 0; i < container.index().tensor_count(); ++i) {
    const TensorRecord t = container.index().tensor(i);
    out += fmt::format("\n{} {} {} {}", t.name, t.dtype, t.part_count, DescribeTensor(container.index(), t));
  }
  return out;
}

uint64_t DeadBytes(const Index& index) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < index.count(Table::kDeadRanges); ++i) sum += index.dead_range(i).size;
  return sum;
}

TEST_CASE("metadata and attachments change, tensors do not") {
  for (bool compress : {false, true}) {
    Desk desk(compress);
    const std::string tensors = TensorsOf(*desk.Open());
    Text attachments = desk.Attachments();
    const uint64_t old_index = desk.Open()->header().index_size, dead = DeadBytes(desk.Open()->index());
    const uint64_t old_config =
        desk.Open()->index().stored_size(desk.Open()->index().plane(desk.Open()->index().attachment(0).plane));

    const std::string large(3 * kChunkSize + 5, 'L');
    EditOptions options = Set("yes", "now a text");
    options.set.emplace_back("new", MetadataValue::F64(2.5));
    options.remove = {"minus", "array 3"};
    options.attach = {{"large", desk.folder.Write("large", AsBytes(large))},
                      {"config.json", desk.folder.Write("c", AsBytes("{}"))},
                      {"nothing", desk.folder.Write("n", {})}};
    options.detach = {"folder/tokenizer.model"};
    const EditResult result = desk.Edit(options);
    CHECK(result.changed);
    CHECK_FALSE(result.repaired);
    CHECK_FALSE(result.compacted);
    CHECK(result.generation == 2);
    CHECK(result.cut_bytes == 0);
    CHECK(result.dead_bytes == dead + old_index + old_config + 33);
    desk.MustBeValid();

    CHECK(TensorsOf(*desk.Open()) == tensors);
    attachments["large"] = large, attachments["config.json"] = "{}", attachments["nothing"] = "";
    attachments.erase("folder/tokenizer.model");
    CHECK(desk.Attachments() == attachments);
    CHECK(desk.Value("yes") == "now a text");
    CHECK(desk.Value("new").size() == 8);
    CHECK(desk.Value("minus") == "(none)");
    CHECK(desk.Value("array 3") == "(none)");
    CHECK(desk.Value("ingot.generator") == "a test \u00e9");
    const auto now = desk.Open();
    CHECK(now->header().generation == 2);
    CHECK(now->index().count(Table::kSources) == 2);
    CHECK(now->index().count(Table::kSha256) == now->index().plane_count() + 2);
  }
}

TEST_CASE("compacting leaves no dead range; all the rest stays") {
  for (bool compress : {false, true}) {
    Desk desk(compress, compress ? 4096 : 64);
    EditOptions options = Set("k", "v");
    options.attach = {{"a", desk.folder.Write("a", AsBytes("aaa"))}};
    desk.Edit(options);
    const std::string tensors = TensorsOf(*desk.Open());
    const Text attachments = desk.Attachments();
    const uint64_t size = desk.Open()->file().size();
    uint64_t last = 0;
    EditOptions compact;
    compact.compact = true;
    compact.progress = [&](uint64_t done, uint64_t total) {
      CHECK(done > last);
      CHECK(done <= total);
      last = done;
      return true;
    };
    const EditResult result = desk.Edit(compact);
    CHECK(result.compacted);
    CHECK_FALSE(result.changed);
    CHECK(result.dead_bytes == 0);
    CHECK(result.generation == 1);
    CHECK(result.file_bytes < size);
    CHECK(last > 0);
    desk.MustBeValid();
    const auto now = desk.Open();
    CHECK(now->header().generation == 1);
    CHECK(now->header().alignment == (compress ? 4096u : 64u));
    CHECK(now->index().count(Table::kDeadRanges) == 0);
    CHECK(TensorsOf(*now) == tensors);
    CHECK(desk.Attachments() == attachments);
    CHECK(desk.Value("k") == "v");

    const Bytes before = ReadBytes(desk.path);
    compact.progress = [](uint64_t, uint64_t) { return false; };
    CHECK(desk.MustFail(compact).code == ErrorCode::kInterrupted);
    CHECK(desk.folder.Names().size() == 2);
    compact.progress = {};
    desk.Edit(compact);
    CHECK(ReadBytes(desk.path) == before);  // nothing left to remove: the same bytes
  }
}

TEST_CASE("compacting a file with a damaged plane is refused") {
  Desk desk;
  Bytes bytes = ReadBytes(desk.path);
  bytes[desk.Open()->index().plane(3).offset] ^= std::byte{1};
  desk.folder.Write("x.ingot", bytes);
  EditOptions compact;
  compact.compact = true;
  const Error error = desk.MustFail(compact);
  CHECK(error.code == ErrorCode::kBadInput);
  CHECK_MESSAGE(Contains(error.message, "R-CHK-1: plane 3, chunk 0"), error.message);
  CHECK(desk.folder.Names() == std::vector<std::string>{"x.ingot"});
}

TEST_CASE("what cannot be done is refused, and no byte changes") {
  Desk desk;
  const auto code = [&](auto change) {
    EditOptions options = Set("fine", "value");
    change(options);
    return desk.MustFail(options).code;
  };
  const std::string file = desk.folder.Write("f", AsBytes("f"));
  CHECK(code([](EditOptions& o) { o.remove = {"no such key"}; }) == ErrorCode::kUsage);
  CHECK(code([](EditOptions& o) { o.remove = {"ingot.generator"}; }) == ErrorCode::kUsage);
  CHECK(code([](EditOptions& o) { o.set.emplace_back("ingot.generator", MetadataValue::String("me")); }) ==
        ErrorCode::kUsage);
  CHECK(code([](EditOptions& o) { o.set.emplace_back("", MetadataValue::String("me")); }) == ErrorCode::kUsage);
  CHECK(code([](EditOptions& o) { o.set.emplace_back(std::string(4097, 'k'), MetadataValue::String("me")); }) ==
        ErrorCode::kUsage);
  CHECK(code([](EditOptions& o) { o.set.emplace_back("k", MetadataValue::String("\xFF")); }) == ErrorCode::kUsage);
  CHECK(code([](EditOptions& o) { o.detach = {"no such file"}; }) == ErrorCode::kUsage);
  CHECK(code([&](EditOptions& o) { o.attach = {{"../up", file}}; }) == ErrorCode::kUsage);
  CHECK(code([&](EditOptions& o) { o.attach = {{"a/b/c", file}}; }) == ErrorCode::kUsage);
  CHECK(code([&](EditOptions& o) { o.attach = {{"twice", file}, {"twice", file}}; }) == ErrorCode::kUsage);
  CHECK(code([&](EditOptions& o) { o.attach = {{"gone", desk.folder / "gone"}}; }) == ErrorCode::kIo);
  CHECK(code([&](EditOptions& o) { o.attach = {{"ok", file}, {"folder", desk.folder.path()}}; }) == ErrorCode::kIo);
}

TEST_CASE("many edits at random: what was asked for, a valid file after each") {
  Desk desk(true);
  std::mt19937 random(1);
  const std::string tensors = TensorsOf(*desk.Open());
  Text attachments = desk.Attachments(), values;
  for (int round = 0; round < 40; ++round) {
    EditOptions options;
    for (unsigned i = 0; i < random() % 3; ++i) {
      const std::string key = "key" + std::to_string(random() % 6), value(random() % 3000, 'v');
      options.set.emplace_back(key, MetadataValue::String(value));
      values[key] = value;
    }
    if (random() % 3 == 0 && !values.empty() && options.set.empty()) {
      options.remove = {values.begin()->first};
      values.erase(values.begin());
    }
    const std::string name = "file" + std::to_string(random() % 4);
    if (random() % 2 == 0) {
      const std::string content(random() % 5000, static_cast<char>('a' + round % 26));
      options.attach = {{name, desk.folder.Write("f", AsBytes(content))}};
      attachments[name] = content;
    } else if (attachments.contains(name)) {
      options.detach = {name};
      attachments.erase(name);
    }
    options.compact = random() % 8 == 0;
    desk.Edit(options);
    desk.MustBeValid();
    REQUIRE(desk.Attachments() == attachments);
    for (const auto& [key, value] : values) REQUIRE(desk.Value(key) == value);
    for (int i = 0; i < 6; ++i) {
      const std::string key = "key" + std::to_string(i);
      if (!values.contains(key)) REQUIRE(desk.Value(key) == "(none)");
    }
    REQUIRE(TensorsOf(*desk.Open()) == tensors);
  }
}

TEST_CASE("a manifest is edited like any file; its shards stay as they are") {
  Desk desk;
  for (const char* name : {"manifest.ingot", "manifest-00001-of-00002.ingot", "manifest-00002-of-00002.ingot"}) {
    desk.folder.Write(name, ReadBytes(kVectors + "valid/" + name));
  }
  desk.path = desk.folder / "manifest.ingot";
  const Hash128 digest = Model::Open(desk.path).value()->ContentDigest();
  for (bool compact : {false, true}) {
    EditOptions options = Set("title", compact ? "compact" : "edited");
    options.compact = compact;
    desk.Edit(options);
    desk.MustBeValid();
    const auto model = Model::Open(desk.path);
    REQUIRE(model);
    CHECK((*model)->ContentDigest() == digest);
    CHECK((*model)->tensor_count() == 4);
    CHECK(desk.Attachments() == Text{{"config.json", "{}"}});
    CHECK(desk.Value("title") == (compact ? "compact" : "edited"));
  }
}

TEST_CASE("metadata from text: keys, types, values") {
  const auto parsed = [](const char* text) {
    auto pair = ParseMetadata(text);
    REQUIRE_MESSAGE(pair, text);
    return *pair;
  };
  CHECK(parsed("k=v").first == "k");
  CHECK(AsText(parsed("k=a=b:c").second.bytes) == "a=b:c");
  CHECK(parsed("a:b=c").first == "a:b");
  CHECK(AsText(parsed("k:string=7").second.bytes) == "7");
  CHECK(parsed("k=").second.bytes.empty());
  CHECK(parsed("k:bool=true").second.bytes == Bytes{std::byte{1}});
  CHECK(Load<int8_t>(parsed("k:i8=-128").second.bytes.data()) == -128);
  CHECK(Load<uint64_t>(parsed("k:u64=18446744073709551615").second.bytes.data()) == UINT64_MAX);
  CHECK(Load<float>(parsed("k:f32=0.1").second.bytes.data()) == 0.1f);
  CHECK(Load<double>(parsed("k:f64=-1e300").second.bytes.data()) == -1e300);
  for (const char* bad : {"", "k", "=v", ":u8=1", "ingot.recipe=x", "ingot.x:u8=1", "k:u8=256", "k:u8=-1", "k:i8=128",
                          "k:bool=1", "k:bool=", "k:u32=1.0", "k:u32= 1", "k:u32=1 ", "k:u32=", "k:f32=x",
                          "k:u64=18446744073709551616", "k=\xFF", "\xFF=v"}) {
    CAPTURE(bad);
    const auto pair = ParseMetadata(bad);
    REQUIRE_FALSE(pair);
    CHECK(pair.error().code == ErrorCode::kUsage);
  }
}

}  // namespace
}  // namespace ingot::test

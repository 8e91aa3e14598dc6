#include "convert/source.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "convert/detect.h"
#include "runtime/file.h"

using namespace ingot;
using namespace std::string_literals;
namespace fs = std::filesystem;

namespace {

const std::string kFixtures = INGOT_SOURCE_DIR "/tests/fixtures";

// A fresh directory that goes away with it.
class TempDirectory {
 public:
  TempDirectory() {
    std::string name = (fs::temp_directory_path() / "ingot-source-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDirectory() { fs::remove_all(path_); }
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return (path_ / name).string();
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

// A file with F32 tensors of one element each, numbered by place.
std::string Safetensors(const std::vector<std::string>& names, const std::string& metadata = "{}") {
  std::string json = "{\"__metadata__\":" + metadata, data;
  for (size_t i = 0; i < names.size(); ++i) {
    json += fmt::format(R"(,"{}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}})", names[i], 4 * i, 4 * i + 4);
    data += std::string(3, '\0') + static_cast<char>('0' + i);
  }
  json += "}";
  std::string file(8, '\0');
  Store<uint64_t>(reinterpret_cast<std::byte*>(file.data()), json.size());
  return file + json + data;
}

std::string ErrorOf(const std::string& path) {
  const auto source = OpenSource(path);
  return source ? "accepted" : source.error().message;
}

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

// Metadata of which all values are texts.
std::vector<std::pair<std::string, std::string>> Texts(const SourceMetadata& metadata) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const auto& [key, value] : metadata) {
    REQUIRE(value.type == MetadataType::kString);
    texts.emplace_back(key, AsText(value.bytes));
  }
  return texts;
}

TEST_CASE("fixtures: what is good is read, what is bad is refused") {
  const auto text = ReadWholeFile(kFixtures + "/FIXTURES.json", 1 << 20);
  REQUIRE(text);
  const auto manifest = nlohmann::json::parse(*text);
  int seen = 0;
  for (const auto& row : manifest["fixtures"]) {
    if (row["format"] != "safetensors") continue;
    ++seen;
    const std::string path = kFixtures + "/" + row["path"].get<std::string>();
    CAPTURE(path);
    const auto source = OpenSource(path);
    const bool must_refuse = row.value("must_refuse", false);
    CHECK(source.has_value() != must_refuse);
    if (!source) {
      CHECK(source.error().code == ErrorCode::kBadInput);
      CHECK(Has(source.error().message, path + "/model.safetensors"));
      CHECK_FALSE(OpenSource(path + "/model.safetensors"));
      continue;
    }
    for (const SourceTensor& tensor : (*source)->tensors()) {
      std::vector<std::byte> bytes(tensor.size);
      CHECK((*source)->Read(tensor.file, tensor.offset, bytes));
    }
  }
  CHECK(seen == 23);
}

TEST_CASE("a sharded directory") {
  const auto source = OpenSource(kFixtures + "/safetensors/sharded");
  REQUIRE_MESSAGE(source, source.error().message);
  CHECK((*source)->kind() == "safetensors");
  CHECK((*source)->tensors().size() == 10);
  REQUIRE((*source)->files().size() == 4);
  CHECK((*source)->files()[3].name == "model-00004-of-00004.safetensors");
  CHECK((*source)->files()[3].size == 6264);
  REQUIRE((*source)->attachments().size() == 1);
  CHECK((*source)->attachments()[0].name == "config.json");
  const auto metadata = Texts((*source)->metadata());
  CHECK(std::is_sorted(metadata.begin(), metadata.end()));
  CHECK(std::count(metadata.begin(), metadata.end(), std::pair("format"s, "pt"s)) == 1);
  const auto& tensors = (*source)->tensors();
  CHECK(std::is_sorted(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
  }));
}

TEST_CASE("reading") {
  const TempDirectory dir;
  const auto source = OpenSource(dir.Write("x.bin", Safetensors({"a", "b"})));  // the extension does not count
  REQUIRE(source);
  CHECK((*source)->attachments().empty());
  const SourceTensor& b = (*source)->tensors()[1];
  std::array<char, 4> bytes;
  REQUIRE((*source)->Read(b.file, b.offset, std::as_writable_bytes(std::span(bytes))));
  CHECK(bytes[3] == '1');
  CHECK_FALSE((*source)->Read(1, 0, std::as_writable_bytes(std::span(bytes))));
  fs::resize_file(dir.path() + "/x.bin", b.offset + 2);
  const auto shorter = (*source)->Read(b.file, b.offset, std::as_writable_bytes(std::span(bytes)));
  REQUIRE_FALSE(shorter);
  CHECK(shorter.error().code == ErrorCode::kBadInput);
}

TEST_CASE("files of other kinds are named") {
  const TempDirectory dir;
  CHECK(Has(ErrorOf(dir.Write("a.safetensors", "GGUF\3\0\0\0"s)), "a.safetensors: truncated: "));
  CHECK(Has(ErrorOf(dir.Write("b", "PK\x03\x04rest")), "truncated: a zip archive"));
  CHECK(Has(ErrorOf(dir.Write("c", "\x80\x02rest")), "a pickle, but not a PyTorch checkpoint"));
  CHECK(
      Has(ErrorOf(dir.Write("j", std::string(257, 'x') + "ustar")), "a tar archive: PyTorch checkpoints from before"));
  CHECK(Has(ErrorOf(dir.Write("d", "\x89INGOT\r\n")), "R-FILE-1"));
  CHECK(Has(ErrorOf(dir.Write("e", "")), "an empty file"));
  CHECK(Has(ErrorOf(dir.Write("f", "hello")), "not a checkpoint: neither"));
  CHECK(Has(ErrorOf(dir.Write("g", "version https://git-lfs.github.com/spec/v1\noid")), "git lfs pull"));
  CHECK(Has(ErrorOf(dir.Write("h", "{\"weight_map\": {}}")), "a JSON text"));
  CHECK(Has(ErrorOf(dir.Write("i", "\1\0\0\0\0\0\0\0\0"s)), "not a checkpoint"));
  const auto missing = OpenSource(dir.path() + "/nothing");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::kIo);
  CHECK(*DetectKind(SourceOf(AsBytes(Safetensors({"a"})))) == FileKind::kSafetensors);
}

TEST_CASE("which file of a directory is the checkpoint") {
  const TempDirectory dir;
  CHECK(Has(ErrorOf(dir.path()), "no checkpoint in this directory; it holds no files"));
  dir.Write("README.md", "text");
  CHECK(Has(ErrorOf(dir.path()), "it holds 'README.md'"));
  dir.Write("only.safetensors", Safetensors({"only"}));
  dir.Write("vocab.json", "{}");
  dir.Write("tokenizer.json", "{}");
  fs::create_directory(dir.path() + "/config.json");  // not a file: not an attachment
  auto source = OpenSource(dir.path());
  REQUIRE_MESSAGE(source, source.error().message);
  CHECK((*source)->tensors()[0].name == "only");
  REQUIRE((*source)->attachments().size() == 2);
  CHECK((*source)->attachments()[0].name == "tokenizer.json");
  CHECK((*source)->attachments()[1].name == "vocab.json");
  dir.Write("notes.bin", "nothing of ours");
  CHECK(ErrorOf(dir.path()) == "accepted");
  dir.Write("other.pt", "PK\x03\x04");
  CHECK(Has(ErrorOf(dir.path()), "several checkpoint files, name one of them: 'only.safetensors', 'other.pt'"));
  dir.Write("pytorch_model.bin", "PK\x03\x04");
  CHECK(Has(ErrorOf(dir.path()), "pytorch_model.bin: truncated: a zip archive"));
  dir.Write("pytorch_model.bin.index.json", "{}");
  CHECK(Has(ErrorOf(dir.path()), "pytorch_model.bin.index.json: no weight_map"));
  dir.Write("model.safetensors", Safetensors({"single"}));
  source = OpenSource(dir.path());
  REQUIRE(source);
  CHECK((*source)->tensors()[0].name == "single");
  dir.Write("shard", Safetensors({"sharded"}));
  dir.Write("model.safetensors.index.json", R"({"weight_map": {"sharded": "shard"}})");
  source = OpenSource(dir.path());
  REQUIRE(source);
  CHECK((*source)->tensors()[0].name == "sharded");
}

TEST_CASE("links are followed, dangling ones are errors") {
  const TempDirectory dir, blobs;
  fs::create_symlink(blobs.Write("b1", Safetensors({"a"})), dir.path() + "/model.safetensors");
  fs::create_symlink(blobs.Write("b2", "{}"), dir.path() + "/config.json");
  const auto source = OpenSource(dir.path());
  REQUIRE(source);
  CHECK((*source)->attachments().size() == 1);
  fs::remove(blobs.path() + "/b2");
  CHECK(Has(ErrorOf(dir.path()), "config.json: a link to a file that does not exist"));
}

TEST_CASE("an index and its shards must agree") {
  const TempDirectory dir;
  dir.Write("s1", Safetensors({"a", "b"}, R"({"format":"pt","one":"1"})"));
  dir.Write("s2", Safetensors({"c"}, R"({"format":"np"})"));
  dir.Write("twice", Safetensors({"a"}));
  dir.Write("bad", "GGUF");
  const auto with = [&](const std::string& index) {
    dir.Write("model.safetensors.index.json", index);
    return ErrorOf(dir.path());
  };
  CHECK(
      with(
          R"({"metadata":{"total_size":12,"x":"y","l":["t"]},"weight_map":{"c":"s2","a":"s1","b":"s1"},"q":[{"a":1}]})") ==
      "accepted");
  const auto source = OpenSource(dir.path());
  REQUIRE(source);
  CHECK(Texts((*source)->metadata()) ==
        std::vector<std::pair<std::string, std::string>>{{"format", "pt"}, {"one", "1"}, {"x", "y"}});
  struct Row {
    std::string index, part;
  };
  const Row rows[] = {
      {"", "not JSON"},
      {"[]", "the index is an array, must be an object"},
      {"1", "the index is 1, must be an object"},
      {"{}", "no weight_map"},
      {R"({"weight_map":{}})", "weight_map names no tensor"},
      {R"({"weight_map":[]})", "weight_map is an array, must be an object"},
      {R"({"weight_map":"s1"})", "weight_map is the text 's1', must be an object"},
      {R"({"weight_map":{"a":1}})", "tensor 'a': the shard is 1, must be a text"},
      {R"({"weight_map":{"a":{}}})", "tensor 'a': the shard is an object, must be a text"},
      {R"({"weight_map":{"a":["s1"]}})", "tensor 'a': the shard is an array, must be a text"},
      {R"({"weight_map":{"a":"s1","a":"s2"}})", "key 'a' stands twice"},
      {R"({"weight_map":{"a":"../s1"}})", "tensor 'a': shard '../s1' is not the name of a file"},
      {R"({"weight_map":{"a":".."}})", "shard '..' is not the name of a file"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "is not the name of a file"},
      {R"({"weight_map":{"a":"s1\u0000"}})", "shard 's1\\x00' is not the name of a file"},
      {R"({"weight_map":{"a":""}})", "shard '' is not the name of a file"},
      {R"({"weight_map":{"a":"s1","b":"s1","c":"s3"}})", "shard 's3': "},
      {R"({"weight_map":{"a":"s1","b":"s1","c":"bad"}})", "shard 'bad': "},
      {R"({"weight_map":{"a":"s1"}})", "tensor 'b' is in shard 's1', but not in weight_map"},
      {R"({"weight_map":{"a":"s1","b":"s1","d":"s1"}})", "tensor 'd' is not in shard 's1', which weight_map names"},
      {R"({"weight_map":{"a":"s1","b":"s2","c":"s2"}})", "tensor 'b' is in shard 's1', weight_map names shard 's2'"},
      {R"({"weight_map":{"a":"s1","b":"s1","x":"twice"}})", "tensor 'a' is in two shards, 's1' and 'twice'"},
  };
  for (const Row& row : rows) {
    const std::string message = with(row.index);
    CAPTURE(row.index);
    CHECK_MESSAGE(Has(message, row.part), message);
    CHECK(Has(message, "model.safetensors.index.json"));
  }
}

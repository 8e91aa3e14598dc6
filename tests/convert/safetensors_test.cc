#include "convert/safetensors.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

using namespace ingot;

namespace {

// The length of `json`, `json` and `data` zero bytes.
std::string FileOf(const std::string& json, size_t data) {
  std::string file(8, '\0');
  Store<uint64_t>(reinterpret_cast<std::byte*>(file.data()), json.size());
  return file + json + std::string(data, '\0');
}

Result<SafetensorsHeader> Read(const std::string& file) {
  return ReadSafetensorsHeader(SourceOf(AsBytes(file)), "m.safetensors");
}

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets + "]}";
}

}  // namespace

TEST_CASE("a header is read, whatever the order of its names") {
  const std::string json = R"( {"__metadata__":{"z":"1","a":"2"},)" + Entry("b", "F32", "2,3", "6,30") + "," +
                           Entry("a", "U8", "6", "0,6") + "," + Entry("s", "BF16", "", "30,32") + "," +
                           Entry("e", "I64", "0,18446744073709551615,7", "32,32") + "}  ";
  const std::string file = FileOf(json, 32);
  const auto header = Read(file);
  REQUIRE_MESSAGE(header, header.error().message);
  CHECK(header->metadata == std::vector<std::pair<std::string, std::string>>{{"a", "2"}, {"z", "1"}});
  REQUIRE(header->tensors.size() == 4);
  const SourceTensor& b = header->tensors[1];
  CHECK(b.name == "b");
  CHECK(b.dtype == DType::kF32);
  CHECK(b.shape == std::vector<uint64_t>{2, 3});
  CHECK(b.offset == 8 + json.size() + 6);
  CHECK(b.size == 24);
  CHECK(header->tensors[0].name == "a");
  CHECK(header->tensors[2].shape.empty());
  CHECK(header->tensors[3].size == 0);
  CHECK(header->tensors[3].shape[1] == UINT64_MAX);
}

TEST_CASE("what a reader accepts beyond the writers' habits") {
  CHECK(Read(FileOf("{}", 0)));
  CHECK(Read(FileOf(R"({"__metadata__":null})", 0)));
  CHECK(Read(FileOf(" \t\r\n{" + Entry("", "F32", "1", "0,4") + "}\n", 4)));
  CHECK(Read(FileOf(R"({"a":{"x":{"dtype":[1,{"shape":-1}],"data_offsets":1.5},"dtype":"U8","shape":[1],"y":[[2]],)"
                    R"("data_offsets":[0,1],"z":null}})",
                    1)));
  CHECK(Read(FileOf("{" + Entry("a", "U8", "1,1,1,1,1,1,1,1", "0,1") + "}", 1)));
  CHECK(Read(FileOf("{" + Entry(std::string(4096, 'n'), "U8", "1", "0,1") + "}", 1)));
  for (const DTypeInfo& info : AllDTypes()) {
    const std::string offsets = "0," + std::to_string(3 * info.size);
    CHECK(Read(FileOf("{" + Entry("a", std::string(info.name), "3", offsets) + "}", 3u * info.size)));
  }
}

TEST_CASE("every rule that a header can break") {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{" + Entry("a", dtype, shape, offsets) + "}";
  };
  const auto two = [](const std::string& first, const std::string& second) {
    return "{" + Entry("a", "F32", "4", first) + "," + Entry("b", "F32", "4", second) + "}";
  };
  std::string past_end = FileOf("{}", 0), too_long = past_end;
  Store<uint64_t>(reinterpret_cast<std::byte*>(past_end.data()), 3);
  Store<uint64_t>(reinterpret_cast<std::byte*>(too_long.data()), 100'000'001);
  struct Row {
    std::string file, part;
  };
  const Row rows[] = {
      {"", "not a safetensors file: 0 bytes"},
      {"1234567", "not a safetensors file: 7 bytes"},
      {past_end, "truncated: a header of 3 bytes in a file of 10"},
      {too_long, "a header of 100000001 bytes, at most 100000000 are allowed"},
      {FileOf("", 0), "byte 8: not JSON"},
      {FileOf("{'a':1}", 0), "byte 9: not JSON"},
      {FileOf("{\"\xff\":{}}", 0), "byte 10: not JSON"},
      {FileOf("[]", 0), "the header is an array, must be an object"},
      {FileOf("7", 0), "the header is 7, must be an object"},
      {FileOf("\xef\xbb\xbf[]", 0), "must be an object"},
      {FileOf("{}{}", 0), "not JSON"},
      {FileOf(R"({"__metadata__":{"n":3}})", 0), "__metadata__: 'n' is 3, must be a text"},
      {FileOf(R"({"__metadata__":{"n":{}}})", 0), "__metadata__: 'n' is an object, must be a text"},
      {FileOf(R"({"__metadata__":1})", 0), "__metadata__ is 1, must be an object"},
      {FileOf(R"({"__metadata__":[]})", 0), "__metadata__ is an array, must be an object"},
      {FileOf(R"({"__metadata__":{"n":"1","n":"2"}})", 0), "key 'n' stands twice"},
      {FileOf("{" + Entry("a", "U8", "1", "0,1") + "," + Entry("a", "U8", "1", "1,2") + "}", 2),
       "key 'a' stands twice in one object"},
      {FileOf(R"({"a":3})", 0), "tensor 'a': its entry is 3, must be an object"},
      {FileOf(R"({"a":["U8",[1],[0,1]]})", 1), "tensor 'a': its entry is an array, must be an object"},
      {FileOf(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1), "tensor 'a': no dtype"},
      {FileOf(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1), "tensor 'a': no shape"},
      {FileOf(R"({"a":{"dtype":"U8","shape":[1]}})", 1), "tensor 'a': no data_offsets"},
      {FileOf(R"({"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", 1), "tensor 'a': dtype is 8, must be a text"},
      {FileOf(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1), "key 'dtype' stands twice"},
      {FileOf(R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1), "tensor 'a': shape is 1, must be an array"},
      {FileOf(R"({"a":{"dtype":"U8","shape":{},"data_offsets":[0,1]}})", 1), "shape is an object, must be an array"},
      {FileOf(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":"0"}})", 1), "data_offsets is the text '0', must be an"},
      {FileOf(one("F12", "4", "0,16"), 16), "tensor 'a': dtype 'F12' is not known"},
      {FileOf(one("f32", "4", "0,16"), 16), "dtype 'f32' is not known"},
      {FileOf(one("F4", "4", "0,2"), 2), "tensor 'a': dtype 'F4' is not supported"},
      {FileOf(one("F6_E2M3", "4", "0,3"), 3), "dtype 'F6_E2M3' is not supported"},
      {FileOf(one("F6_E3M2", "4", "0,3"), 3), "dtype 'F6_E3M2' is not supported"},
      {FileOf(one("U8", "-1", "0,1"), 1), "tensor 'a': a dimension is -1, must be a whole number"},
      {FileOf(one("U8", "1.0", "0,1"), 1), "tensor 'a': a dimension is 1"},
      {FileOf(one("U8", "[1]", "0,1"), 1), "a dimension is an array"},
      {FileOf(one("U8", "\"1\"", "0,1"), 1), "a dimension is the text '1'"},
      {FileOf(one("U8", "1,1,1,1,1,1,1,1,1", "0,1"), 1), "tensor 'a': more than 8 dimensions are not supported"},
      {FileOf(one("U8", "1", "-0,1"), 1), "tensor 'a': an offset is -0, must be a whole number"},
      {FileOf(one("U8", "1", "0,1e0"), 1), "tensor 'a': an offset is 1"},
      {FileOf(one("U8", "1", "0,18446744073709551617"), 1), "an offset is 1.8446744073709552e+19"},
      {FileOf(one("U8", "1", "0"), 1), "tensor 'a': data_offsets has 1 numbers, must have 2"},
      {FileOf(one("U8", "1", ""), 1), "data_offsets has 0 numbers"},
      {FileOf(one("U8", "1", "0,1,2"), 1), "tensor 'a': data_offsets has more than 2 numbers"},
      {FileOf(one("U8", "1", "1,0"), 1), "tensor 'a': offsets 1..0 run backwards"},
      {FileOf(one("F32", "5", "0,16"), 16), "tensor 'a': shape [5] of F32 takes 20 bytes, offsets 0..16 hold 16"},
      {FileOf(one("F32", "1099511627776, 1099511627776", "0,16"), 16),
       "tensor 'a': shape [1099511627776, 1099511627776] of F32 overflows 64 bits"},
      {FileOf(one("F64", "4611686018427387904", "0,0"), 0), "overflows 64 bits"},
      {FileOf(two("0,16", "20,36"), 36), "tensor 'b': offsets 20..36 leave a hole after tensor 'a' at 0..16"},
      {FileOf(one("F32", "4", "4,20"), 20), "tensor 'a': offsets 4..20 leave a hole: the first tensor must begin at 0"},
      {FileOf(two("0,16", "12,28"), 28), "tensor 'b': offsets 12..28 overlap tensor 'a' at 0..16"},
      {FileOf(two("0,16", "0,16"), 16), "tensor 'b': offsets 0..16 overlap tensor 'a' at 0..16"},
      {FileOf("{" + Entry("a", "F32", "4", "0,16") + "," + Entry("z", "F32", "0", "8,8") + "}", 16),
       "tensor 'z': offsets 8..8 overlap tensor 'a' at 0..16"},
      {FileOf(one("F32", "4", "0,16"), 15),
       "truncated: tensor 'a': offsets 0..16, but only 15 bytes of data are there"},
      {FileOf(one("U8", "18446744073709551615", "0,18446744073709551615"), 15), "truncated: tensor 'a'"},
      {FileOf(one("F32", "4", "0,16"), 18), "2 bytes follow the data of the last tensor 'a', which ends at 16"},
      {FileOf("{}", 1), "1 bytes follow the data"},
      {FileOf("{" + Entry(std::string(4097, 'n'), "U8", "1", "0,1") + "}", 1), "a name of 4097 bytes, at most 4096"},
      {FileOf(std::string(65, '{'), 0), "not JSON"},
      {FileOf(R"({"a":{"x":)" + std::string(63, '[') + std::string(63, ']') + "}}", 0), "nested deeper than 64"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.part);
    const auto header = Read(row.file);
    REQUIRE_FALSE(header);
    CHECK(header.error().code == ErrorCode::kBadInput);
    CHECK_MESSAGE(header.error().message.find(row.part) != std::string::npos, header.error().message);
    CHECK(header.error().message.starts_with("m.safetensors: "));
  }
}

TEST_CASE("every shorter file is refused, at every length") {
  const std::string json = R"({"__metadata__":{"k":"v"},)" + Entry("a", "F16", "2,2", "0,8") + "}";
  const std::string file = FileOf(json, 8);
  REQUIRE(Read(file));
  for (size_t size = 0; size < file.size(); ++size) CHECK_FALSE(Read(file.substr(0, size)));
  CHECK_FALSE(Read(file + '\0'));
}

TEST_CASE("100,000 tensors take no noticeable time") {
  constexpr uint64_t kTensors = 100'000;
  std::string json = "{";
  for (uint64_t i = 0; i < kTensors; ++i) {
    if (i > 0) json += ',';
    json += Entry(fmt::format("model.layers.{}.mlp.experts.{}.gate_proj.weight", i / 1000, i * 7919 % 1000), "BF16",
                  "1,1", fmt::format("{},{}", 2 * i, 2 * i + 2));
  }
  const std::string file = FileOf(json + "}", 2 * kTensors);
  const auto start = std::chrono::steady_clock::now();
  const auto header = Read(file);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  REQUIRE(header);
  CHECK(header->tensors.size() == kTensors);
  MESSAGE("100,000 tensors, a header of " << json.size() << " bytes: " << seconds.count() << " s");
  CHECK(seconds.count() < 10);  // a guard against quadratic time, with room for sanitizers
}

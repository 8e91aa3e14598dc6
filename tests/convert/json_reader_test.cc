#include "convert/json_reader.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "format/text.h"

using namespace ingot;
using namespace std::string_literals;

namespace {

std::string ErrorOf(std::string_view text) {
  const auto result = ParseJson(text, "f.json");
  if (result) return "accepted";
  CHECK(result.error().code == ErrorCode::kBadInput);
  return result.error().message;
}

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

}  // namespace

TEST_CASE("a document comes back as it is") {
  const std::string text =
      R"( {"a": [1, -2, 2.5, true, null, "\u00e9\ud83d\ude00"], "b": {"c": {}, "d": []}, "e": 18446744073709551615} )";
  const auto json = ParseJson(text, "f.json");
  REQUIRE(json);
  CHECK(*json == nlohmann::json::parse(text));
  CHECK((*json)["e"].get<uint64_t>() == UINT64_MAX);
  CHECK(ParseJson("3", "f.json")->get<int>() == 3);
}

TEST_CASE("texts that are refused, with the file and the place") {
  struct Row {
    std::string text, part;
  };
  const Row rows[] = {
      {"", "f.json: byte 0: not JSON"},
      {"   ", "f.json: byte 3: not JSON"},
      {"{'a': 1}", "f.json: byte 1: not JSON"},
      {"{\"a\": 1} x", "f.json: byte 9: not JSON"},
      {"{\"a\": 1", "not JSON"},
      {"[1,]", "f.json: byte 3: not JSON"},
      {"[NaN]", "not JSON"},
      {"[1e999]", "number overflow"},
      {"[\"\xff\"]", "f.json: byte 2: not JSON"},
      {"[\"\xc0\x80\"]", "ill-formed UTF-8"},
      {"[\"\xed\xa0\x80\"]", "ill-formed UTF-8"},
      {"[\"\\ud800\"]", "surrogate"},
      {"{}\0"s, "f.json: byte 2: not JSON"},
      {"{}\0junk"s, "f.json: byte 2: not JSON"},
      {"[\"a\0b\"]"s, "not JSON"},
      {"// c\n{}", "not JSON"},
      {R"({"a": 1, "b": 2, "a": 3})", "f.json: byte 19: key 'a' stands twice in one object"},
      {R"([{"x": {"a": 1, "\u0061": 2}}])", "key 'a' stands twice"},
      {Nested(65), "f.json: byte 64: nested deeper than 64 levels"},
      {Nested(100000), "nested deeper than 64 levels"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text.substr(0, 40));
    CHECK_MESSAGE(ErrorOf(row.text).find(row.part) != std::string::npos, ErrorOf(row.text));
  }
  CHECK(ErrorOf(Nested(64)) == "accepted");
}

TEST_CASE("the same key in different objects is fine, also among many keys") {
  CHECK(ErrorOf(R"({"a": {"a": 1, "b": {"a": 2}}, "b": {"a": 1}})") == "accepted");
  std::string text = "{";
  for (int i = 0; i < 100; ++i) text += fmt::format("\"k{}\": {{\"k{}\": 0, \"k1\": {{}}}}, ", i, i == 1 ? 2 : i);
  CHECK(ErrorOf(text + "\"end\": 0}") == "accepted");
  CHECK(ErrorOf(text + "\"k3\": 0}").find("'k3' stands twice") != std::string::npos);
  CHECK(ErrorOf(text + "\"k77\": 0}").find("'k77' stands twice") != std::string::npos);
}

TEST_CASE("messages show no control characters and end") {
  const std::string message = ErrorOf("{\"a\x1b[2Jb\": 1}");
  for (char c : message) CHECK(static_cast<unsigned char>(c) >= 0x20);
  CHECK(ErrorOf("[" + std::string(1 << 20, '7') + "x]").size() < 600);
  CHECK(Quote("a\x1b[0m\xff\xe2\x80\xae") == "'a\\x1b[0m\\xff\\xe2\\x80\\xae'");
  CHECK(Quote("日本\"") == "'日本\"'");
  CHECK(Quote(std::string(300, 'a'), 4) == "'aaaa...'");
}

TEST_CASE("sizes are whole numbers") {
  CHECK(*AsSize(JsonValue(uint64_t{7})) == 7);
  CHECK(AsSize(JsonValue(int64_t{-3})).error().message == "is -3, must be a whole number of 0 or more");
  CHECK(AsSize(JsonValue(int64_t{0})).error().message.find("-0") != std::string::npos);
  CHECK_FALSE(AsSize(JsonValue(1.0)));
  CHECK_FALSE(AsSize(JsonValue(1.8446744073709552e19)));
  CHECK_FALSE(AsSize(JsonValue(std::string("1"))));
  CHECK_FALSE(AsSize(JsonValue(nullptr)));
}

TEST_CASE("a text longer than a block, and a source that fails in the middle") {
  std::string text = "[";
  for (int i = 0; i < 50000; ++i) text += fmt::format("\"text {}\", ", i);
  text += "0]";
  const auto json = ParseJson(text, "f.json");
  REQUIRE(json);
  CHECK(json->size() == 50001);
  CHECK((*json)[49999] == "text 49999");

  struct Ignore final : JsonHandler {
    Status StartObject() override { return {}; }
    Status EndObject() override { return {}; }
    Status StartArray() override { return {}; }
    Status EndArray() override { return {}; }
    Status Key(std::string&) override { return {}; }
    Status Value(JsonValue&) override { return {}; }
  } ignore;
  const ByteSource failing{text.size(), [&](uint64_t offset, std::span<std::byte> out) -> Status {
                             if (offset > 0) return Fail(ErrorCode::kIo, "f.json: the disk is gone");
                             return SourceOf(AsBytes(text)).read(offset, out);
                           }};
  const auto read = ReadJson(failing, 0, text.size(), "f.json", ignore);
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ErrorCode::kIo);
  CHECK(read.error().message == "f.json: the disk is gone");
}

TEST_CASE("names of files") {
  for (const char* name : {"a", "model-00001-of-00004.safetensors", "...", "日本", "a b"}) CHECK(IsSafeName(name, 1));
  for (const std::string& name : {""s, "."s, ".."s, "a/b"s, "/a"s, "a\\b"s, "c:d"s, "a\nb"s, "a\0b"s, "\x7f"s,
                                  "\xc2\x85"s, "\xff"s, std::string(256, 'a')}) {
    CHECK_FALSE(IsSafeName(name, 1));
  }
  CHECK(IsSafeName(std::string(255, 'a'), 1));
}

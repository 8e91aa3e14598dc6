#include "convert/pytorch/pytorch_file.h"

#include <doctest/doctest.h>

#include "convert/pytorch/unpickler.h"
#include "tests/convert/pytorch_builder.h"

using namespace ingot;
using namespace ingot::test;
using namespace std::string_literals;

namespace {

Result<FileContents> ReadBytes(const std::string& file) { return ReadPyTorchFile(SourceOf(AsBytes(file)), "m.pt"); }

std::string MessageOf(const std::string& file) {
  const auto read = ReadBytes(file);
  return read ? "accepted" : read.error().message;
}

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Storage '0' has 24 bytes, '1' has 8.
Zip ArchiveOf(const std::string& body) {
  return {.members = {{.name = "m/data.pkl", .data = Whole(body)},
                      {.name = "m/data/0", .data = std::string(24, 'x')},
                      {.name = "m/data/1", .data = std::string(8, 'y')},
                      {.name = "m/version", .data = "3\n"}}};
}
std::string ZipOf(const std::string& body) { return ArchiveOf(body).Bytes(); }

std::string ZipWith(Member member) {
  Zip zip = ArchiveOf("}");
  zip.members.push_back(std::move(member));
  zip.count = 5;
  return zip.Bytes();
}

const std::string kSix = StorageId("FloatStorage", "0", 6), kHalfs = StorageId("HalfStorage", "1", 4);
std::string Row(int64_t count = 6) { return Tensor(kSix, 0, {count}, {1}); }

const std::string kTorchMagic = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s, kVersion = Whole("M\xe9\3");
const std::string kMachine = Whole(Dict({Text("protocol_version"), "M\xe9\3", Text("little_endian"), "\x88"}));
// Two storages: 'a' of 2 floats, 'b' of 3 bytes.
const std::string kObject = Whole(Dict({Text("x"), Tensor(StorageId("FloatStorage", "a", 2, true), 1, {1}, {1}),
                                        Text("y"), Tensor(StorageId("ByteStorage", "b", 3, true), 0, {3}, {1})}));
std::string Keys(const std::vector<std::string>& keys) {
  std::string all = "](";
  for (const std::string& key : keys) all += Text(key);
  return Whole(all + "e");
}
const std::string kStorages = Little(uint64_t{3}) + "bbb" + Little(uint64_t{2}) + "aaaaaaaa";

}  // namespace

TEST_CASE("names, places and strides") {
  const std::string file =
      ZipOf(Dict({Text("b.w"), Tensor(kSix, 1, {2, 2}, {2, 1}), Text("deep"),
                  Dict({"K\7", "](" + Tensor(kHalfs, 0, {2, 2}, {1, 2}) + Row() + "e", Text(""), Row(0)}), Text("tie"),
                  Row(), Text("scalar"), Tensor(kSix, 5, {}, {}), Text("one"), Tensor(kSix, 2, {1, 4, 1}, {99, 1, 77}),
                  Text("same"), Tensor(kSix, 3, {5, 2}, {0, 1}), Text("empty"), Tensor(kSix, 1000, {0, 9}, {9, 1})}));
  const auto read = ReadBytes(file);
  REQUIRE_MESSAGE(read, read.error().message);
  const size_t first = file.find(std::string(24, 'x')), second = file.find(std::string(8, 'y'));
  struct Expected {
    std::string name;
    uint64_t offset, size;
    std::vector<uint64_t> strides;
  };
  const Expected expected[] = {
      {"deep.", first, 0, {}},          {"empty", first, 0, {}},       {"deep.7.1", first, 24, {}},
      {"tie", first, 24, {}},           {"b.w", first + 4, 16, {}},    {"one", first + 8, 16, {}},
      {"same", first + 12, 40, {0, 1}}, {"scalar", first + 20, 4, {}}, {"deep.7.0", second, 8, {1, 2}},
  };
  REQUIRE(read->tensors.size() == std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    const SourceTensor& tensor = read->tensors[i];
    CAPTURE(tensor.name);
    CHECK(tensor.name == expected[i].name);
    CHECK(tensor.offset == expected[i].offset);
    CHECK(tensor.size == expected[i].size);
    CHECK(tensor.strides == expected[i].strides);
  }
  CHECK(ReadBytes(ZipOf(Row()))->tensors[0].name == "tensor");
  CHECK(ReadBytes(ZipOf("]" + Row() + "a"))->tensors[0].name == "0");
  CHECK(ReadBytes(ZipOf("}"))->tensors.empty());
}

TEST_CASE("plain values become metadata") {
  const auto read = ReadBytes(ZipOf(
      Dict({Text("z"), "K\3", Text("f"), "G\x3f\xf8\0\0\0\0\0\0"s, Text("t"), Text("hi"), Text("b"), "\x88", Text("n"),
            "N", Text("d"), Global("torch", "bfloat16"), Text("s"), Call(Global("torch", "Size"), {Ints({96, 256})}),
            Text("l"), "](K\1\x89" + Text("x") + "e", Text("e"), "]"})));
  REQUIRE_MESSAGE(read, read.error().message);
  MetadataValue shape;
  shape.type = MetadataType::kArray;
  shape.element_type = MetadataType::kI64;
  Append(shape.bytes, int64_t{96});
  Append(shape.bytes, int64_t{256});
  const SourceMetadata expected = {{"b", MetadataValue::Bool(true)},
                                   {"d", MetadataValue::String("torch.bfloat16")},
                                   {"f", MetadataValue::F64(1.5)},
                                   {"l.0", MetadataValue::I64(1)},
                                   {"l.1", MetadataValue::Bool(false)},
                                   {"l.2", MetadataValue::String("x")},
                                   {"s", shape},
                                   {"t", MetadataValue::String("hi")},
                                   {"z", MetadataValue::I64(3)}};
  REQUIRE(read->metadata.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(expected[i].first);
    CHECK(read->metadata[i].first == expected[i].first);
    CHECK(read->metadata[i].second.type == expected[i].second.type);
    CHECK(read->metadata[i].second.element_type == expected[i].second.element_type);
    CHECK(read->metadata[i].second.bytes == expected[i].second.bytes);
  }
}

TEST_CASE("a tensor must lie in its storage") {
  const auto with = [](int64_t offset, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
    return MessageOf(ZipOf(Dict({Text("w"), Tensor(kSix, offset, shape, strides)})));
  };
  CHECK(with(0, {6}, {1}) == "accepted");
  CHECK(with(5, {1}, {1000}) == "accepted");
  CHECK(with(0, {2, 3}, {3, 1}) == "accepted");
  CHECK(with(1, {2, 2}, {3, 1}) == "accepted");
  CHECK(Has(with(0, {7}, {1}),
            "m.pt: tensor 'w': offset 0, shape [7] and strides [1] lead out of its storage '0' of 6 elements"));
  CHECK(Has(with(1, {6}, {1}), "lead out of its storage"));
  CHECK(Has(with(6, {1}, {1}), "lead out of its storage"));
  CHECK(Has(with(6, {}, {}), "lead out of its storage"));
  CHECK(Has(with(0, {2, 2}, {5, 1}), "lead out of its storage"));
  CHECK(Has(with(INT64_MAX, {1}, {1}), "lead out of its storage"));
  CHECK(Has(with(0, {2, 2, 2, 2}, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}), "lead out of its storage"));
  CHECK(Has(with(0, {3}, {INT64_MAX}), "lead out of its storage"));
  CHECK(Has(with(0, {INT64_MAX, INT64_MAX}, {0, 0}), "of F32 overflows 64 bits"));
  CHECK(Has(with(0, {6}, {}), "1 dimensions and 0 strides"));
  CHECK(Has(with(0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}), "more than 8 dimensions"));
  CHECK(Has(with(0, {int64_t{1} << 40}, {0}), "repeat their bytes too often"));
  CHECK(Has(MessageOf(ZipOf(Dict({Text("w"), Tensor(StorageId("FloatStorage", "0", 7), 0, {1}, {1})}))),
            "m.pt: storage '0': 7 elements of 4 bytes in a member of 24"));
  CHECK(Has(MessageOf(ZipOf(Dict({Text("w"), Tensor(StorageId("FloatStorage", "0", INT64_MAX), 0, {1}, {1})}))),
            "9223372036854775807 elements of 4 bytes in a member of 24"));
  CHECK(Has(MessageOf(ZipOf(Dict({Text("w"), Tensor(StorageId("FloatStorage", "2", 0), 0, {0}, {1})}))),
            "storage '2': no such member"));
  CHECK(Has(MessageOf(ZipOf(Dict({Text("w"), Tensor(StorageId("FloatStorage", "../version", 0), 0, {0}, {1})}))),
            "storage '../version': no such member"));
}

TEST_CASE("names that do not do") {
  CHECK(Has(MessageOf(ZipOf(Dict({Text("a.b"), Row(), Text("a"), Dict({Text("b"), Row()})}))),
            "tensor 'a.b' stands twice"));
  CHECK(Has(MessageOf(ZipOf(Dict({Text("1"), "N", "K\1", Row(), Text("x"), Dict({Text("1"), "K\1", "K\1", "K\1"})}))),
            "value 'x.1' stands twice"));
  CHECK(Has(MessageOf(ZipOf(Dict({Text(std::string(4097, 'n')), "K\1"}))), "a name of 4097 bytes, at most 4096"));
  CHECK(Has(MessageOf(ZipOf(Dict({Text("s"), kSix}))), "value 's' is a storage, not a tensor or a plain value"));
  CHECK(Has(MessageOf(ZipOf(Dict({Text("s"), Global("torch", "Size")}))), "value 's' is torch.Size, not a tensor"));
}

TEST_CASE("a few bytes that stand for very many names") {
  std::string lists = "]q\1";  // a list of ten of the same list of ten ...
  for (int level = 0; level < 12; ++level) lists += "]q\2(h\1h\1h\1h\1h\1h\1h\1h\1h\1h\1eh\2q\1";
  lists = "(" + lists + "t";
  CHECK(Has(MessageOf(ZipOf(lists)), "more than 8388608 values and names"));
  std::string values = "](";
  for (int i = 0; i < 70000; ++i) values += "\x88";
  CHECK(Has(MessageOf(ZipOf(values + "e")), "more than 65472 values beside the tensors are not supported"));
}

TEST_CASE("an archive must be one of torch's") {
  CHECK(MessageOf(ZipWith({.name = "m/byteorder", .data = "little"})) == "accepted");
  CHECK(
      Has(MessageOf(ZipWith({.name = "m/byteorder", .data = "big"})), "m.pt: byte order 'big', only 'little' is read"));
  CHECK(
      Has(MessageOf(ZipWith({.name = "m/byteorder", .data = std::string(33, ' ')})), "member 'm/byteorder': 33 bytes"));
  CHECK(Has(MessageOf(ZipWith({.name = "n/data.pkl", .data = "N."})), "does not lie in one folder with the others"));
  CHECK(Has(MessageOf(ZipWith({.name = "a", .data = ""})), "member 'a' does not lie in one folder"));
  CHECK(Has(MessageOf(ZipWith({.name = "m/constants.pkl", .data = "N."})), "a TorchScript archive"));
  CHECK(Has(MessageOf(Zip{}.Bytes()), "an empty zip archive"));
  CHECK(Has(MessageOf(Zip{.members = {{.name = "m/x", .data = ""}}}.Bytes()), "no member 'm/data.pkl'"));
  CHECK(Has(MessageOf(ZipOf("}.N")), "2 bytes follow the pickle in 'm/data.pkl'"));
  Zip zip = ArchiveOf("}");
  zip.members[3].data = "11\n";
  zip.members[3].central_size = 3;
  CHECK(Has(MessageOf(zip.Bytes()), "archive version 11, at most 10 is read"));
  zip.members[3].data = "3.5";
  CHECK(Has(MessageOf(zip.Bytes()), "archive version '3.5' is not a number"));
  CHECK(Has(MessageOf(ZipWith({.name = "m/.data/version", .data = "11"})), "archive version 11"));
  zip.members[3].data = "10\n";
  CHECK(MessageOf(zip.Bytes()) == "accepted");
  zip.members[0].crc = 1;
  CHECK(Has(MessageOf(zip.Bytes()), "member 'm/data.pkl': damaged"));
}

TEST_CASE("the older format") {
  const std::string head = kTorchMagic + kVersion + kMachine + kObject;
  const std::string file = head + Keys({"b", "a"}) + kStorages;
  const auto read = ReadBytes(file);
  REQUIRE_MESSAGE(read, read.error().message);
  REQUIRE(read->tensors.size() == 2);
  CHECK(read->tensors[0].name == "y");
  CHECK(read->tensors[0].offset == file.size() - kStorages.size() + 8);
  CHECK(read->tensors[1].name == "x");
  CHECK(read->tensors[1].offset == file.size() - 4);
  for (size_t size = 2; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK(MessageOf(file.substr(0, size)).starts_with("m.pt: "));
  }
  CHECK(Has(MessageOf(file + "x"), "1 bytes follow the last storage"));
  CHECK(Has(MessageOf(Whole("N")), "it does not begin with torch's magic number"));
  CHECK(Has(MessageOf(""), "it does not begin with torch's magic number"));
  CHECK(Has(MessageOf(kTorchMagic + Whole("M\xe8\3")), "format version 1000, must be 1001"));
  CHECK(Has(MessageOf(kTorchMagic + Whole("N")), "format version None"));
  CHECK(Has(MessageOf(kTorchMagic + kVersion + Whole("N")), "the writer's machine is None"));
  CHECK(Has(MessageOf(kTorchMagic + kVersion + Whole("}")), "does not say little_endian"));
  CHECK(
      Has(MessageOf(kTorchMagic + kVersion + Whole(Dict({Text("little_endian"), "\x89"}))), "little_endian is False"));
  CHECK(Has(MessageOf(head + Whole("N")), "the keys of the storages are None"));
  CHECK(
      Has(MessageOf(head + Keys({"b", "b"}) + kStorages), "storage the text 'b' stands twice, or no tensor needs it"));
  CHECK(Has(MessageOf(head + Keys({"c"}) + kStorages), "storage the text 'c' stands twice, or no tensor needs it"));
  CHECK(Has(MessageOf(head + Whole("]Na") + kStorages), "storage None stands twice"));
  CHECK(Has(MessageOf(head + Keys({"b"}) + kStorages), "storage 'a' is not in the file"));
  CHECK(Has(MessageOf(head + Keys({"a", "b"}) + kStorages), "storage 'a' has 3 elements, its tensors say 2"));
  const std::string huge = Whole(Tensor(StorageId("FloatStorage", "a", INT64_MAX, true), 0, {1}, {1}));
  CHECK(Has(MessageOf(kTorchMagic + kVersion + kMachine + huge + Keys({"a"}) + Little(INT64_MAX)),
            "truncated: storage 'a'"));
}

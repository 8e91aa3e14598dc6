#include <doctest/doctest.h>

#include <set>

#include "convert/pytorch/pickle_calls.h"
#include "convert/pytorch/unpickler.h"
#include "tests/convert/pytorch_builder.h"

using namespace ingot;
using namespace ingot::test;
using namespace std::string_literals;

namespace {

Result<Pickle> ReadBytes(const std::string& bytes, StorageWords words = StorageWords::kZip) {
  return ReadPickle(SourceOf(AsBytes(bytes)), 0, bytes.size(), words, "m.pt");
}

// The root as messages show it, or what is wrong.
std::string Shown(const std::string& body, StorageWords words = StorageWords::kZip) {
  const auto pickle = ReadBytes(Whole(body), words);
  return pickle ? Describe(*pickle, pickle->values[pickle->root]) : pickle.error().message;
}

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// What `body` is refused for, at which byte behind PROTO.
void Refused(const std::string& body, const std::string& part, int64_t at = -1) {
  const std::string message = Shown(body);
  CAPTURE(message);
  CAPTURE(part);
  CHECK(message.starts_with("m.pt: pickle, byte "));
  CHECK(Has(message, part));
  if (at >= 0) CHECK(Has(message, fmt::format("byte {}: ", at + 2)));
}

const std::string kFloats = StorageId("FloatStorage", "0", 100);

std::string Times(size_t count, const std::string& text) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("each instruction makes its value") {
  struct Row {
    std::string body, shown;
  };
  const Row rows[] = {
      {"N", "None"},
      {"\x88", "True"},
      {"\x89", "False"},
      {"K\xff", "255"},
      {"M\xff\xff", "65535"},
      {"J\xff\xff\xff\xff", "-1"},
      {"\x8a\0"s, "0"},
      {"\x8a\x01\xff", "-1"},
      {"\x8a\x02\xff\0"s, "255"},
      {"\x8a\x05\0\0\0\0\1"s, "4294967296"},
      {"\x8a\x08\0\0\0\0\0\0\0\x80"s, "-9223372036854775808"},
      {"G\xbf\xf8\0\0\0\0\0\0"s, "-1.5"},
      {Text("a \xc3\xa9"), "the text 'a \xc3\xa9'"},
      {Text(""), "the text ''"},
      {")", "a tuple of 0"},
      {"N\x85", "a tuple of 1"},
      {"NN\x86", "a tuple of 2"},
      {"NNN\x87", "a tuple of 3"},
      {"(NNNNt", "a tuple of 4"},
      {"(t", "a tuple of 0"},
      {"]", "a list of 0"},
      {"]Na", "a list of 1"},
      {"](NNe(Ne", "a list of 3"},
      {"}", "a dict of 0"},
      {"}K\1Ns", "a dict of 1"},
      {"}(K\1NK\2Nu(K\3Nu", "a dict of 3"},
      {Ordered(), "a dict of 0"},
      {Ordered() + "(K\1Nu}K\1Nsb", "a dict of 1"},
      {"]q\xffNah\xff\x86", "a tuple of 2"},
      {"]q\1h\1\x86", "a tuple of 2"},
      {"]r\0\1\0\0j\0\1\0\0\x86"s, "a tuple of 2"},
      {Global("torch", "float16"), "torch.float16"},
      {Call(Global("torch", "Size"), {Ints({2, 3})}), "a tuple of 2"},
      {kFloats, "a storage"},
      {Tensor(kFloats, 0, {2, 3}, {3, 1}), "a tensor"},
      {"\x80\x02N", "None"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.shown);
    CHECK(Shown(row.body) == row.shown);
  }
  CHECK(ReadBytes("N.rest")->end == 2);
}

TEST_CASE("values are what was written") {
  const auto pickle =
      ReadBytes(Whole("}" + Text("w") + Tensor(StorageId("HalfStorage", "7", 100), 5, {2, 3}, {10, 1}) + "s"));
  REQUIRE(pickle);
  REQUIRE(pickle->storages.size() == 1);
  CHECK(pickle->storages[0].key == "7");
  CHECK(pickle->storages[0].count == 100);
  CHECK(pickle->storages[0].type->dtype == DType::kF16);
  REQUIRE(pickle->tensors.size() == 1);
  const PickleTensor& tensor = pickle->tensors[0];
  CHECK(tensor.dtype == DType::kF16);
  CHECK(tensor.offset == 5);
  CHECK(tensor.shape == std::vector<uint64_t>{2, 3});
  CHECK(tensor.strides == std::vector<uint64_t>{10, 1});
}

TEST_CASE("a storage that is named twice is one storage") {
  const auto pickle = ReadBytes(Whole("(" + kFloats + kFloats + StorageId("FloatStorage", "1", 100) + "t"));
  REQUIRE(pickle);
  CHECK(pickle->storages.size() == 2);
  Refused("(" + kFloats + StorageId("HalfStorage", "0", 100),
          "storage '0' is a FloatStorage of 100 and a HalfStorage of 100");
  Refused("(" + kFloats + StorageId("FloatStorage", "0", 99),
          "storage '0' is a FloatStorage of 100 and a FloatStorage of 99");
}

TEST_CASE("every other instruction is refused by name") {
  const std::set<int> read = {'q', 'r',  'h',  'j', '(',  'K', 'M', 'J', 'X', 't', 0x85, 0x86, 0x87, ')',  'R', 'Q',
                              'c', 0x89, 0x88, 'N', 0x8a, 'G', '}', ']', 's', 'u', 'a',  'e',  'b',  0x80, '.'};
  size_t named = 0;
  for (int code = 0; code < 256; ++code) {
    if (read.contains(code)) continue;
    CAPTURE(code);
    const std::string message = Shown(")" + std::string(1, static_cast<char>(code)) + "rest");
    const bool known =
        Has(message, "m.pt: pickle, byte 3: the instruction ") && Has(message, " is not one that torch.save writes");
    CHECK((known || Has(message, fmt::format("m.pt: pickle, byte 3: {:#04x} is no instruction", code))));
    named += known;
  }
  CHECK(named == 37);
  Refused("ios\nsystem\n", "INST");
  Refused("(" + Global("torch", "Size") + "o", "OBJ");
  Refused(Global("torch", "Size") + ")\x81", "NEWOBJ");
  Refused("\x82\1", "EXT1");
  Refused(Text("os") + Text("system") + "\x93", "STACK_GLOBAL");
  Refused("\x95", "FRAME");
  Refused("P1\n", "PERSID");
  Refused("\x80\1N", "pickle protocol 1 is not read");
  Refused("\x80\6N", "pickle protocol 6 is not read");
}

TEST_CASE("names that are not in the table") {
  const std::pair<std::string, std::string> rows[] = {
      {"os", "system"},           {"posix", "system"},
      {"builtins", "eval"},       {"__builtin__", "eval"},
      {"builtins", "getattr"},    {"subprocess", "Popen"},
      {"torch", "load"},          {"torch.hub", "load"},
      {"collections", "Counter"}, {"torch", "Size.x"},
      {"torch.Size", ""},         {"", ""},
      {"torch", "FloatStorage "}, {"numpy.core.multiarray", "_reconstruct"},
      {"__torch__.m", "Model"},
  };
  for (const auto& row : rows) {
    Refused(Global(row.first, row.second), fmt::format("it wants to use {}.{}; only tensors", row.first, row.second),
            0);
  }
  Refused(Global("o\x1bs", "x\x7f"), "it wants to use o\\x1bs.x\\x7f;");
  Refused(Global(std::string(257, 'x'), "y"), "a name of more than 256 bytes");
  Refused("cos\nsystem", "cut off");
  Refused(Global("torch._utils", "_rebuild_qtensor"), "tensors that torch quantized are not read");
  Refused(Global("torch._utils", "_rebuild_sparse_tensor"), "sparse");
  Refused(Global("torch._utils", "_rebuild_meta_tensor_no_storage"), "it holds no values");
  Refused(Global("torch", "ComplexDoubleStorage"), "Ingot has no such element type");
}

TEST_CASE("calls") {
  Refused(Global("torch", "float16") + ")R", "it wants to call torch.float16");
  Refused(Global("torch", "FloatStorage") + "K\5\x85R", "it wants to call torch.FloatStorage");
  Refused(Text("os.system") + ")R", "a call of the text 'os.system' with a tuple of 0");
  Refused(Global("torch", "Size") + "]R", "a call of torch.Size with a list of 0");
  Refused(Global("collections", "OrderedDict") + "]\x85R", "collections.OrderedDict has 1 arguments, must have 0");
  Refused(Global("torch", "Size") + ")R", "torch.Size has 0 arguments, must have 1");
  Refused(Call(Global("torch", "Size"), {Ints({-1})}), "torch.Size: size is -1, must be a whole number of 0 or more");
  Refused(Call(Global("torch", "Size"), {"]"}), "size is a list of 0");
  const std::string parameter = Global("torch._utils", "_rebuild_parameter"), tensor = Tensor(kFloats, 0, {2}, {1});
  CHECK(Shown(Call(parameter, {tensor, "\x89", Ordered()})) == "a tensor");
  CHECK(Shown(Call(Global("torch._utils", "_rebuild_parameter_with_state"), {tensor, "\x89", Ordered(), "}"})) ==
        "a tensor");
  CHECK(Shown(Call(Global("torch.nn.parameter", "Parameter"), {tensor})) == "a tensor");
  CHECK(Shown(Call(Global("torch.nn.parameter", "Parameter"), {tensor}) + "}b") == "a tensor");
  Refused(Call(parameter, {"N", "\x89", Ordered()}), "_rebuild_parameter: data is None");
  Refused(Call(parameter, {tensor}), "has 1 arguments, must have 3");
}

TEST_CASE("what a tensor is made of") {
  const std::string v2 = Global("torch._utils", "_rebuild_tensor_v2"),
                    v3 = Global("torch._utils", "_rebuild_tensor_v3");
  const std::string bytes =
      Tuple({Text("storage"), Global("torch.storage", "UntypedStorage"), Text("1"), Text("cpu"), Long(8)}) + "Q";
  const auto with = [&](const std::string& function, const std::string& storage, size_t place, const std::string& other,
                        const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {storage, Long(0), Ints({2}), Ints({1}), "\x89", Ordered()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    if (place < arguments.size()) arguments[place] = other;
    return Call(function, arguments);
  };
  const std::string none, e4m3 = Global("torch", "float8_e4m3fn");
  CHECK(Shown(with(v2, kFloats, 9, none)) == "a tensor");
  CHECK(Shown(with(v2, kFloats, 9, none, {Dict({Text("conj"), "\x89"})})) == "a tensor");
  CHECK(Shown(with(v3, bytes, 9, none, {e4m3})) == "a tensor");
  CHECK(Shown(with(v3, bytes, 9, none, {e4m3, Dict({})})) == "a tensor");
  Refused(with(v2, kFloats, 0, "N"), "storage is None");
  Refused(with(v2, kFloats, 1, Long(-1)), "offset is -1, must be a whole number");
  Refused(with(v2, kFloats, 1, Text("0")), "offset is the text '0'");
  Refused(with(v2, kFloats, 2, "K\2"), "size is 2");
  Refused(with(v2, kFloats, 2, Ints({-2})), "size is -2");
  Refused(with(v2, kFloats, 3, Ints({-1})), "stride is -1");
  Refused(with(v2, kFloats, 3, Tuple({"N"})), "stride is None");
  Refused(with(v2, kFloats, 4, "N"), "requires_grad is None");
  Refused(with(v2, kFloats, 5, "N"), "backward_hooks is None");
  Refused(with(v2, kFloats, 9, none, {Dict({Text("conj"), "\x88"})}),
          "a tensor with the property the text 'conj' is not read");
  Refused(with(v2, kFloats, 9, none, {"N"}), "metadata is None");
  Refused(with(v2, kFloats, 9, none, {"}", "}"}), "has 8 arguments, must have 6 to 7");
  Refused(with(v2, bytes, 9, none), "_rebuild_tensor_v2 with a torch.storage.UntypedStorage");
  Refused(with(v3, kFloats, 9, none, {e4m3}), "_rebuild_tensor_v3 with a torch.FloatStorage");
  Refused(with(v3, bytes, 9, none), "has 6 arguments, must have 7 to 8");
  Refused(with(v3, bytes, 9, none, {Text("float32")}), "dtype is the text 'float32'");
  Refused(with(v3, bytes, 9, none, {Global("torch", "Size")}), "dtype is torch.Size");
}

TEST_CASE("persistent ids") {
  const std::vector<std::string> good = {Text("storage"), Global("torch", "FloatStorage"), Text("0"), Text("cuda:0"),
                                         Long(4)};
  const auto with = [&](size_t place, const std::string& other) {
    std::vector<std::string> words = good;
    words[place] = other;
    return Tuple(words) + "Q";
  };
  CHECK(Shown(Tuple(good) + "Q") == "a storage");
  Refused("NQ", "a persistent id is None, must be a tuple of 5");
  Refused(")Q", "a persistent id is a tuple of 0, must be a tuple of 5");
  Refused("](" + Text("storage") + "eQ", "a persistent id is a list of 1");
  Refused(with(0, Text("module")), "a persistent id for the text 'module', must be for 'storage'");
  Refused(with(0, "N"), "a persistent id: its tag is None");
  Refused(with(1, Text("FloatStorage")), "its type is the text 'FloatStorage'");
  Refused(with(1, Global("torch", "Size")), "a storage of the type torch.Size");
  Refused(with(2, "K\0"s), "its key is 0");
  Refused(with(3, "N"), "its location is None");
  Refused(with(4, Long(-1)), "its size is -1");
  Refused(StorageId("FloatStorage", "0", 4, true), "must be a tuple of 5");
  CHECK(Shown(StorageId("FloatStorage", "0", 4, true), StorageWords::kLegacy) == "a storage");
  CHECK(Has(Shown(Tuple(good) + "Q", StorageWords::kLegacy), "must be a tuple of 6"));
  std::vector<std::string> view = good;
  view.push_back(Tuple({Text("1"), Long(0), Long(4)}));
  CHECK(Has(Shown(Tuple(view) + "Q", StorageWords::kLegacy), "its view of another storage is a tuple of 3"));
}

TEST_CASE("state is for OrderedDicts and Parameters") {
  Refused("}}b", "it gives a dict of 0 the state a dict of 0; only an OrderedDict");
  Refused("]}b", "it gives a list of 0 the state");
  Refused(Tensor(kFloats, 0, {2}, {1}) + "}b", "it gives a tensor the state");
  Refused(Ordered() + ")b", "the state a tuple of 0");
  Refused(Global("torch", "Size") + "}b", "it gives torch.Size the state");
  Refused("}b", "nothing is on the stack");
}

TEST_CASE("containers") {
  Refused("})a", "items for a list, but a dict of 0 is on the stack");
  Refused("])Ns", "the key of a dict is a tuple of 0, must be a text or a whole number");
  Refused("]K\1Ns", "items for a dict, but a list of 0 is on the stack");
  Refused("}(K\1u", "1 keys and values");
  Refused("}(NNu", "the key of a dict is None");
  Refused("}(\x88Nu", "the key of a dict is True");
  Refused("}(K\1NK\1Nu", "the key 1 stands twice in a dict");
  Refused("}(" + Text("a") + "NK\1N" + Text("a") + "Nu", "the key 'a' stands twice in a dict");
  CHECK(Shown("}(" + Text("1") + "NK\1Nu") == "a dict of 2");
  // A list that holds itself, directly, through another, through a tuple, and a dict that does.
  const std::string cycle = "changes after it was put into another, or into itself";
  Refused("]q\1h\1a", cycle);
  Refused("]q\1]h\1aa", cycle);
  Refused("]q\1h\1\x85" + "h\1"s + "Na", cycle);
  Refused("]q\1(h\1e", cycle);
  Refused("}q\1K\1h\1s", cycle);
}

TEST_CASE("limits") {
  CHECK(Shown(Times(64, "(") + Times(64, "t")) == "a tuple of 1");
  Refused(Times(kMaxPickleMarks + 1, "("), "more than 256 marks", kMaxPickleMarks);
  CHECK(Shown(")" + Times(kMaxPickleDepth, "\x85")) == "a tuple of 1");
  Refused(")" + Times(kMaxPickleDepth + 1, "\x85"), "values nested more than 64 deep", kMaxPickleDepth + 1);
  Refused("]q\1" + Times(kMaxPickleDepth + 1, "]q\2h\1ah\2q\1"), "values nested more than 64 deep");
  Refused("(" + Times(kMaxPickleStack + 1, "N"), "more than 1048576 values on the stack", kMaxPickleStack + 1);
  Refused("]" + Times(9, "(" + Times(kMaxPickleStack - 1, ")") + "e"), "more than 8388608 values");
  Refused("Nr\0\0\x80\0"s, "memo entry 8388608, must be below 8388608");
  CHECK(Shown("Nr\xff\xff\x7f\0"s) == "None");
  Refused("h\1", "memo entry 1 was never written");
  Refused("q\1", "nothing is on the stack");
  Refused("X\1\0\0\1abc"s, "a text of 16777217 bytes, at most 16777216 are read");
  Refused("X\0\0\0\1abc"s, "cut off", 0);
  Refused(Text("\xff"), "a text is not UTF-8: '\\xff'");
  Refused(Text("\xed\xa0\x80"), "a text is not UTF-8");
  Refused("\x8a\x09" + std::string(9, '\0'), "a whole number of 9 bytes, at most 8 are read");
}

TEST_CASE("the stack") {
  Refused("", "nothing is on the stack");
  Refused("NN", "it ends with 1 values left over");
  Refused("N(", "nothing is on the stack");
  Refused("(N", "it ends with 0 values left over");
  Refused("N(\x85", "nothing is on the stack");  // what lies below a mark is out of reach
  Refused("(t t", "no instruction");
  Refused("t", "no mark is on the stack");
  Refused("]e", "no mark is on the stack");
  Refused("}u", "no mark is on the stack");
}

TEST_CASE("a pickle may end anywhere") {
  const std::string whole =
      Whole(Dict({Text("w"), Tensor(kFloats, 0, {2, 3}, {3, 1}), Text("x"), "G\0\0\0\0\0\0\0\0"s}));
  REQUIRE(ReadBytes(whole));
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(Has(ReadBytes(whole.substr(0, size)).error().message, "cut off"));
  }
}

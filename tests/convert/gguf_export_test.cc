// Blocks of every type into planes and back.
#include "convert/export_gguf.h"

#include <random>

#include "convert/gguf/gguf_header.h"
#include "convert/gguf/gguf_match.h"
#include "runtime/file.h"
#include "tests/convert/convert_fixture.h"
#include "tests/support/gguf_file.h"

namespace ingot::test {
namespace {

constexpr uint32_t kMostlyTq1_0 = 36;

uint64_t SizeOf(const GgufType& type, const std::vector<uint64_t>& ne) {
  uint64_t count = 1;
  for (uint64_t n : ne) count *= n;
  return count / type.block_elements * type.block_bytes;
}

// Bytes of TQ1_0 as its writer makes them: of 256, 243 hold five digits and 81 hold four.
void MakeTernary(Bytes& blocks, unsigned seed) {
  std::mt19937 random(seed);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const size_t at = i % 54;
    if (at >= 52) continue;
    const unsigned sum = at < 48 ? random() % 243 : random() % 81 * 3;
    blocks[i] = static_cast<std::byte>((sum * 256 + 242) / 243);
  }
}

GgufTensorSpec RandomTensor(const GgufType& type, std::vector<uint64_t> ne, unsigned seed) {
  Bytes data = RandomBlocks(SizeOf(type, ne), seed);
  if (type.name == "TQ1_0") MakeTernary(data, seed);
  return {fmt::format("{}.{}", type.name, seed), std::move(ne), type.id, std::move(data)};
}

// The file after a way through Ingot.
Bytes RoundTrip(const GgufFile& file) {
  Workshop shop;
  const std::string path = shop.in().Write("model.gguf", file.Build()), out_path = shop.out() / "out.gguf";
  const auto converted = shop.Convert(path, "x.ingot", {});
  REQUIRE_MESSAGE(converted, (converted ? "" : converted.error().message));
  const auto model = Workshop::Must(Model::Open(shop.out() / "x.ingot"));
  std::vector<uint32_t> numbers(model->tensor_count());
  for (uint32_t i = 0; i < numbers.size(); ++i) numbers[i] = i;
  const GgufPlan plan = Workshop::Must(GgufPlan::Make(*model, numbers, {}));
  OutputFile out = Workshop::Must(OutputFile::Create(out_path, false));
  REQUIRE(plan.Write(*model, out, {}));
  REQUIRE(out.Commit());
  const File written = Workshop::Must(File::OpenForReading(out_path));
  Bytes bytes(written.size());
  REQUIRE(written.ReadAt(0, bytes));
  CHECK(plan.file_size() == bytes.size());
  return bytes;
}

TEST_CASE("every block type: any bits come back, in all shapes") {
  for (const GgufType& type : AllGgufTypes()) {
    if (type.import == GgufImport::kRefused) continue;
    CAPTURE(type.name);
    const uint64_t n = type.block_elements;
    GgufFile file;
    file.keys.push_back(GgufNumber("general.file_type", 4, type.name == "TQ1_0" ? kMostlyTq1_0 : 0u));
    unsigned seed = 1;
    for (const std::vector<uint64_t>& ne : std::vector<std::vector<uint64_t>>{
             {n}, {3 * n}, {n, 5}, {3 * n, 7}, {33 * n, 3}, {8448, 2}, {5 * n, 3, 4}, {2 * n, 1, 2, 3}, {n, 1}}) {
      file.tensors.push_back(RandomTensor(type, ne, seed++));
    }
    CHECK(RoundTrip(file) == file.Build());
  }
}

TEST_CASE("tensors of several blocks of the new file, rows that they cut") {
  GgufFile file;
  file.keys = {GgufNumber("general.file_type", 4, 15u)};
  const auto type = [](uint32_t id) { return *FindGgufType(id); };
  file.tensors = {RandomTensor(type(12), {256 * 33, 513}, 1), RandomTensor(type(14), {256 * 12289}, 2),
                  RandomTensor(type(8), {32 * 3, 21001}, 3)};
  CHECK(RoundTrip(file) == file.Build());
}

TEST_CASE("scales that are equal everywhere became constants, and come back") {
  for (const GgufType& type : AllGgufTypes()) {
    if (type.linear == nullptr || type.linear->s.half < 0) continue;
    CAPTURE(type.name);
    GgufFile file;
    file.keys.push_back(GgufNumber("general.file_type", 4, type.name == "TQ1_0" ? kMostlyTq1_0 : 0u));
    // Also 1, 0 and -0, which an encoding leaves out, and a NaN.
    for (const uint16_t half : {0x3C00, 0x0000, 0x8000, 0x1234, 0x7C01}) {
      GgufTensorSpec tensor = RandomTensor(type, {2 * type.block_elements, 3}, half);
      for (size_t at = 0; at < tensor.data.size(); at += type.block_bytes) {
        Store(tensor.data.data() + at + type.linear->s.half, half);
        if (type.linear->o.half >= 0) Store(tensor.data.data() + at + type.linear->o.half, half);
      }
      file.tensors.push_back(std::move(tensor));
    }
    CHECK(RoundTrip(file) == file.Build());
  }
}

TEST_CASE("codes of scales that became one constant: others of the same value") {
  for (const GgufType& type : AllGgufTypes()) {
    if (type.linear == nullptr || type.linear->s.bits == 0) continue;
    CAPTURE(type.name);
    for (const float value : {0.0f, 1.0f, 0.5f, 2.0f}) {
      if (value == 0 && type.name == "MXFP4") continue;  // its scales are powers of two
      const auto found = FindGgufScale(type.linear->s, value);
      REQUIRE(found);
      const GgufOperand& s = type.linear->s;
      const float unit = s.codebook.empty() ? static_cast<float>(found->code) - s.zero : s.codebook[found->code];
      CHECK((s.half < 0 ? unit : F16ToF32(found->half) * unit) == value);
    }
    CHECK_FALSE(FindGgufScale(type.linear->s, 0x1.fffffep-1f));
  }
}

TEST_CASE("an f16 behind a float, if there is one") {
  for (uint32_t half = 0; half < 65536; ++half) {
    const auto found = ExactHalf(F16ToF32(static_cast<uint16_t>(half)));
    if (found != static_cast<uint16_t>(half)) FAIL("half ", half);
  }
  CHECK_FALSE(ExactHalf(0x1.002p0f));
  CHECK_FALSE(ExactHalf(1e6f));
  CHECK_FALSE(ExactHalf(1e-9f));
}

TEST_CASE("metadata keeps its types, the alignment is honoured") {
  GgufFile file;
  file.alignment = 128;
  Bytes values;
  for (uint64_t v : {uint64_t{1}, ~uint64_t{0}}) Append(values, v);
  Bytes texts = GgufText("a");
  Append(texts, ByteSpan(GgufText("")));
  file.keys = {GgufKey("a.text", 8, GgufText("h\xC3\xA4")),
               GgufArray("b.texts", 8, 2, texts),
               GgufArray("c.numbers", 10, 2, values),
               GgufNumber("d.bool", 7, uint8_t{1}),
               GgufNumber("e.i8", 1, int8_t{-3}),
               GgufNumber("f.f64", 12, 0.1),
               GgufNumber("general.alignment", 4, uint32_t{128}),
               GgufNumber("h.i64", 11, int64_t{-5})};
  const auto type = [](uint32_t id) { return *FindGgufType(id); };
  file.tensors = {RandomTensor(type(8), {32, 3}, 1), RandomTensor(type(0), {5}, 2), RandomTensor(type(2), {64}, 3)};
  CHECK(RoundTrip(file) == file.Build());
}

}  // namespace
}  // namespace ingot::test

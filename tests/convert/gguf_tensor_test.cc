// Imports of every block type, element by element against ggml's formulas.
#include "convert/gguf/gguf_tensor.h"

#include <cmath>

#include "convert/encoded_tensor.h"
#include "tests/convert/convert_fixture.h"
#include "tests/support/formula.h"
#include "tests/support/gguf_file.h"

namespace ingot::test {
namespace {

// A GGUF file in a folder of its own, and what became of it.
class Import {
 public:
  explicit Import(const GgufFile& file) {
    const std::string path = shop_.in().Write("model.gguf", file.Build());
    source_ = Workshop::Must(OpenSource(path));
    REQUIRE(source_->kind() == "gguf");
    ConvertOptions options;
    options.verify = true;
    const auto result = shop_.Convert(path, "x.ingot", options);
    REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
    const Validation checked = Workshop::Must(ValidateFile(shop_.out() / "x.ingot"));
    for (const Violation& v : checked.violations) FAIL(v.rule, " ", v.place, ": ", v.message);
    model_ = Workshop::Must(Model::Open(shop_.out() / "x.ingot"));
  }

  const Source& source() const { return *source_; }
  const Model& model() const { return *model_; }
  std::vector<float> Truth(size_t i) const {
    const SourceTensor& t = source_->tensors()[i];
    std::vector<float> out(CountOf(t.shape));
    REQUIRE(t.encoded->Decode(0, out.size(), out.data()));
    return out;
  }
  void CheckValues(size_t i) const {
    const SourceTensor& t = source_->tensors()[i];
    CAPTURE(t.name);
    CAPTURE(t.shape);
    const TensorRecord record = model_->tensor(NumberOf(*model_, t.name));
    CHECK(record.shape() == t.shape);
    CHECK(record.dtype == static_cast<uint8_t>(DType::kF32));
    CHECK(CountDifferences(DecodeTensor(*model_, t.name), Truth(i)) == 0);
  }

 private:
  Workshop shop_;
  std::unique_ptr<Source> source_;
  std::shared_ptr<const Model> model_;
};

uint64_t SizeOf(const GgufType& type, const std::vector<uint64_t>& ne) {
  return CountOf(ne) / type.block_elements * type.block_bytes;
}

GgufTensorSpec RandomSpec(const GgufType& type, std::vector<uint64_t> ne, unsigned seed) {
  const uint64_t size = SizeOf(type, ne);
  return {fmt::format("{}.{}", type.name, seed), std::move(ne), type.id, RandomBlocks(size, seed)};
}

TEST_CASE("every block type: any bits, all shapes, as ggml decodes them") {
  for (const GgufType& type : AllGgufTypes()) {
    if (type.import != GgufImport::kLinear) continue;
    CAPTURE(type.name);
    const uint64_t n = type.block_elements;
    GgufFile file;
    unsigned seed = 1;
    for (const std::vector<uint64_t>& ne : std::vector<std::vector<uint64_t>>{
             {n}, {3 * n}, {n, 5}, {3 * n, 7}, {33 * n, 3}, {8448, 2}, {5 * n, 3, 4}, {2 * n, 1, 2, 3}, {n, 1}}) {
      file.tensors.push_back(RandomSpec(type, ne, seed++));
    }
    const Import import(file);
    CHECK(import.source().tensors()[0].encoded->description() == fmt::format("GGUF {}", type.name));
    for (size_t i = 0; i < file.tensors.size(); ++i) import.CheckValues(i);
  }
}

TEST_CASE("rows larger than a piece, and many rows: the pieces make up the planes") {
  for (const char* name : {"Q4_0", "Q8_0", "Q3_K", "Q4_K", "Q1_0", "MXFP4"}) {
    const auto types = AllGgufTypes();
    const GgufType& type = *std::find_if(types.begin(), types.end(), [&](const GgufType& t) { return t.name == name; });
    CAPTURE(name);
    const uint64_t n = type.block_elements, piece = (2 << 20) / type.block_bytes * n;
    GgufFile file;
    file.tensors = {RandomSpec(type, {piece + 3 * n}, 1), RandomSpec(type, {piece / 2 / n * n, 5}, 2),
                    RandomSpec(type, {2 * piece + n, 2}, 3), RandomSpec(type, {37 * n, piece / (37 * n) + 2}, 4)};
    const Import import(file);
    for (size_t i = 0; i < file.tensors.size(); ++i) {
      CHECK(import.source().tensors()[i].encoded->block_count() >= 2);
      import.CheckValues(i);
    }
  }
}

TEST_CASE("every scale code of MXFP4 and NVFP4 with every value") {
  GgufFile file;
  Bytes mx, nv;
  for (int scale = 0; scale < 256; ++scale) {
    Append(mx, static_cast<uint8_t>(scale));
    for (int i = 0; i < 16; ++i) Append(mx, static_cast<uint8_t>(i | i << 4));
    if (scale % 4 == 0)
      for (int k = 0; k < 4; ++k) Append(nv, static_cast<uint8_t>(scale + k));
    if (scale % 4 == 0)
      for (int k = 0; k < 32; ++k) Append(nv, static_cast<uint8_t>(2 * (k % 8) | (2 * (k % 8) + 1) << 4));
  }
  file.tensors = {{"mx", {32, 256}, 39, mx}, {"nv", {64, 64}, 40, nv}};
  const Import import(file);
  import.CheckValues(0);
  import.CheckValues(1);
  const std::vector<float> a = import.Truth(0), b = import.Truth(1);
  const auto mx_unit = [&](int scale) { return a[32 * static_cast<size_t>(scale) + 1]; };
  CHECK(mx_unit(0) == 0x1p-128f);
  CHECK(mx_unit(1) == 0x1p-127f);
  CHECK(mx_unit(127) == 0.5f);
  CHECK(mx_unit(255) == 0x1p127f);
  CHECK(std::isinf(a[32 * 255 + 7]));
  CHECK(a[32 * 100 + 8] == 0);
  CHECK_FALSE(std::signbit(a[32 * 100 + 8]));
  const auto nv_two = [&](int scale) { return b[16 * static_cast<size_t>(scale) + 1]; };  // of E2M1's code 2
  CHECK(nv_two(0) == 0);
  CHECK(nv_two(0x7F) == 0);
  CHECK(nv_two(1) == 0x1p-9f);
  CHECK(nv_two(0x38) == 1);
  CHECK(nv_two(0x7E) == 448);
  CHECK(nv_two(0x80) == 0);
  CHECK(nv_two(0x81) == 0x1p-9f);
  CHECK(nv_two(0xFF) == 480);
}

TEST_CASE("the scale codes of MXFP4 and NVFP4 are stored as they are, by one codebook for all files") {
  const GgufType &mx = *FindGgufType(39), &nv = *FindGgufType(40);
  GgufFile file;
  file.tensors = {RandomSpec(mx, {64, 40}, 1), RandomSpec(nv, {64, 40}, 2)};
  const Import import(file);
  for (size_t i = 0; i < 2; ++i) {
    const SourceTensor& t = import.source().tensors()[i];
    const PartPlan& plan = t.encoded->plan().parts[0];
    REQUIRE(plan.nested[0]);
    CHECK(plan.nested[0]->linear.bits == 8);
    CHECK(plan.nested[0]->codebook.size() == 256);
    EncodedPart part;
    REQUIRE(t.encoded->Encode(0, {&part, 1}));
    const GgufTensorSpec& spec = file.tensors[i];
    const size_t block = i == 0 ? 17 : 36, scales = i == 0 ? 1 : 4;
    for (size_t k = 0; k < part.operands[0].codes.size(); ++k)
      CHECK(part.operands[0].codes[k] == std::to_integer<uint8_t>(spec.data[k / scales * block + k % scales]));
  }
}

TEST_CASE("blocks that are all alike: operands become constants") {
  for (const GgufType& type : AllGgufTypes()) {
    if (type.import != GgufImport::kLinear) continue;
    CAPTURE(type.name);
    GgufFile file;
    for (unsigned seed = 0; seed < 12; ++seed) {
      // Zeros; f16 values of 1, -0 or the like wherever they lie; any bits.
      Bytes block = RandomBlocks(type.block_bytes, seed);
      if (seed < 4) std::fill(block.begin(), block.end(), seed == 0 ? std::byte{0} : std::byte{0x3C});
      const std::vector<uint64_t> ne = {type.block_elements, seed % 2 + 1};
      Bytes data;
      for (uint64_t i = 0; i < ne[1]; ++i) Append(data, ByteSpan(block));
      file.tensors.push_back({std::to_string(seed), ne, type.id, data});
    }
    const Import import(file);
    for (size_t i = 0; i < file.tensors.size(); ++i) import.CheckValues(i);
  }
}

TEST_CASE("an offset of either zero keeps the sign of the sum") {
  for (const uint32_t id : {3u, 7u}) {
    const GgufType& type = *FindGgufType(id);
    for (const uint16_t scale : {0x0000, 0x8000, 0x3C00}) {
      GgufFile file;
      for (const int mixed : {0, 1}) {
        for (const uint16_t offset : {0x0000, 0x8000}) {
          Bytes data(3 * type.block_bytes);
          for (size_t i = 0; i < 3; ++i) {
            Store(data.data() + i * type.block_bytes, scale);
            Store(data.data() + i * type.block_bytes + 2, static_cast<uint16_t>(i == 1 && mixed ? 0xBC00 : offset));
          }
          file.tensors.push_back({fmt::format("{} {}", mixed, offset), {96}, id, data});
        }
      }
      const Import import(file);
      for (size_t i = 0; i < file.tensors.size(); ++i) import.CheckValues(i);
    }
  }
}

TEST_CASE("any range can be decoded") {
  GgufFile file;
  file.tensors = {RandomSpec(*FindGgufType(14), {768, 20}, 1), RandomSpec(*FindGgufType(8), {32, 5000}, 2)};
  const Import import(file);
  std::mt19937 random(1);
  for (size_t i = 0; i < 2; ++i) {
    const std::vector<float> all = import.Truth(i);
    for (int k = 0; k < 50; ++k) {
      const uint64_t first = random() % all.size(), count = random() % (all.size() - first + 1);
      std::vector<float> some(count);
      REQUIRE(import.source().tensors()[i].encoded->Decode(first, count, some.data()));
      const auto begin = all.begin() + static_cast<ptrdiff_t>(first);
      CHECK(CountDifferences(some, std::vector<float>(begin, begin + static_cast<ptrdiff_t>(count))) == 0);
    }
  }
}

TEST_CASE("types without a formula are kept verbatim") {
  GgufFile file;
  for (const GgufType& type : AllGgufTypes()) {
    if (type.import == GgufImport::kForeign) file.tensors.push_back(RandomSpec(type, {512, 3}, type.id));
  }
  file.tensors.push_back(RandomSpec(*FindGgufType(16), {256, 40000}, 100));
  REQUIRE(file.tensors.size() == 8);
  const Import import(file);
  const Index& index = import.model().main().index();
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const GgufTensorSpec& spec = file.tensors[i];
    CAPTURE(spec.name);
    const uint32_t number = NumberOf(import.model(), spec.name);
    const EncodingRecord e = index.encoding(index.part(import.model().tensor(number).first_part).encoding);
    REQUIRE(e.is(EncodingKind::kForeign));
    const Foreign foreign = DecodeForeign(index.payload(e));
    const GgufType& type = *FindGgufType(spec.type);
    CHECK(foreign.name == fmt::format("ggml.{}", type.name));
    CHECK(foreign.block_bytes == type.block_bytes);
    CHECK(foreign.block_elements == type.block_elements);
    CHECK(foreign.elements == CountOf(spec.ne));
    CHECK(Workshop::Must(import.model().main().ReadPlane(e.first_plane)) == spec.data);
    float value;
    const Status decoded = import.source().tensors()[i].encoded->Decode(0, 1, &value);
    REQUIRE_FALSE(decoded);
    CHECK(Contains(decoded.error().message, fmt::format("{} blocks cannot be decoded", type.name)));
  }
}

TEST_CASE("plain types keep their bytes; tensors without elements are raw") {
  GgufFile file;
  for (const GgufType& type : AllGgufTypes()) {
    if (type.import == GgufImport::kRaw) file.tensors.push_back(RandomSpec(type, {33, 3}, type.id));
  }
  file.tensors.push_back({"scalar", {}, 30, RandomBlocks(2, 1)});
  file.tensors.push_back({"empty", {256, 0}, 12, {}});
  file.tensors.push_back({"foreign and empty", {256, 0}, 16, {}});
  const Import import(file);
  for (const GgufTensorSpec& spec : file.tensors) {
    CAPTURE(spec.name);
    CHECK(RawBytes(import.model(), spec.name) == spec.data);
  }
  CHECK(import.source().tensors()[0].encoded == nullptr);
}

}  // namespace
}  // namespace ingot::test

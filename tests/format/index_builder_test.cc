#include "format/index_builder.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/support/sample_index.h"

namespace ingot::test {
namespace {

// A sample and its index, opened without a violation.
struct Opened {
  Header header;
  Bytes image;
  std::optional<Index> index;
};

Opened Open(SampleIndex& sample) {
  Opened out;
  out.image = sample.Build(out.header);
  Report report;
  out.index = OpenIndex(out.image, out.header, report);
  for (const Violation& v : report.violations()) FAIL(v.rule, " ", v.place, ": ", v.message);
  REQUIRE(out.index);
  return out;
}

TensorRecord Find(const Index& index, std::string_view name) {
  const auto number = index.FindTensor(name);
  REQUIRE_MESSAGE(number, name);
  return index.tensor(*number);
}

EncodingRecord EncodingOf(const Index& index, const TensorRecord& t, uint32_t part = 0) {
  return index.encoding(index.part(t.first_part + part).encoding);
}

ByteSpan PlaneBytes(const Opened& o, uint32_t number) {
  const PlaneRecord p = o.index->plane(number);
  REQUIRE_FALSE(p.framed());
  return ByteSpan(o.image).subspan(p.offset, p.size);
}

bool Equal(ByteSpan a, ByteSpan b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

TEST_CASE("tensors come back, in the order of their names") {
  SampleIndex sample;
  const Opened o = Open(sample);
  const Index& index = *o.index;
  const std::vector<std::string> names = {"",           "a first alias", "empty",       "foreign",
                                          "full",       "parts",         "parts again", "scalar",
                                          "two chunks", "unknown",       "zeros"};
  REQUIRE(index.tensor_count() == names.size());
  for (uint32_t i = 0; i < index.tensor_count(); ++i) {
    CHECK(index.tensor(i).name == names[i]);
    CHECK(index.FindTensor(names[i]) == i);
  }
  CHECK_FALSE(index.FindTensor("none"));
  CHECK_FALSE(index.FindTensor("zeros "));

  CHECK(Find(index, "scalar").shape().empty());
  CHECK(ElementCount(Find(index, "scalar")) == 1);
  CHECK(index.part(Find(index, "scalar").first_part).extent == 1);
  CHECK(Find(index, "").shape() == std::vector<uint64_t>{1, 1, 1, 1, 1, 1, 1, 3});
  CHECK(Find(index, "").dtype == static_cast<uint8_t>(DType::kI16));
  CHECK(ElementCount(Find(index, "empty")) == 0);
  CHECK(EncodingOf(index, Find(index, "empty")).plane_count == 0);
  const EncodingRecord raw = EncodingOf(index, Find(index, "scalar"));
  CHECK(raw.is(EncodingKind::kRaw));
  CHECK(Equal(PlaneBytes(o, raw.first_plane), Pattern(8, 1)));
  CHECK(index.plane(EncodingOf(index, Find(index, "two chunks")).first_plane).chunk_count() == 2);
  CHECK(index.plane(EncodingOf(index, Find(index, "two chunks")).first_plane).chunk_size(1) == 10);
}

TEST_CASE("encodings come back: payload, planes in their order, children before them") {
  SampleIndex sample;
  const Opened o = Open(sample);
  const Index& index = *o.index;
  const TensorRecord t = Find(index, "full");
  const uint32_t number = index.part(t.first_part).encoding;
  const EncodingRecord e = index.encoding(number), child = index.encoding(number - 1);
  CHECK(e.is(EncodingKind::kLinear));
  CHECK(e.flags == kFlagRequired);
  CHECK(e.child_count == 1);
  CHECK(Equal(index.payload(e), EncodeLinear(SampleIndex::FullLinear())));
  CHECK(Equal(index.payload(child), EncodeLinear(SampleIndex::FullChild())));
  const std::vector<Bytes> planes = RandomPlanes(SampleIndex::FullLinear(), false, 20);
  REQUIRE(e.plane_count == planes.size());
  for (uint32_t p = 0; p < e.plane_count; ++p) CHECK(Equal(PlaneBytes(o, e.first_plane + p), planes[p]));
  CHECK(Equal(PlaneBytes(o, child.first_plane), RandomPlanes(SampleIndex::FullChild(), true, 10)[0]));

  const TensorRecord parts = Find(index, "parts");
  CHECK(parts.axis == 1);
  REQUIRE(parts.part_count == 3);
  const uint64_t extents[] = {9, 7, 2};
  for (uint32_t p = 0; p < 3; ++p) {
    CHECK(index.part(parts.first_part + p).extent == extents[p]);
    CHECK(ElementCount(parts, index.part(parts.first_part + p)) == 2 * extents[p]);
  }
  CHECK(DecodeLinear(index.payload(EncodingOf(index, parts, 1))).cols == 7);
  CHECK(EncodingOf(index, parts, 2).is(EncodingKind::kRaw));

  const Foreign f = DecodeForeign(index.payload(EncodingOf(index, Find(index, "foreign"))));
  CHECK(f.name == "q4_0");
  CHECK(f.elements == 96);
  const EncodingRecord unknown = EncodingOf(index, Find(index, "unknown"));
  CHECK(unknown.kind == kUnknownKind);
  CHECK_FALSE(unknown.known());
  CHECK(unknown.flags == 0);
  CHECK(Equal(index.payload(unknown), Pattern(9, 83)));
}

TEST_CASE("aliases share the parts of their original, wherever their names stand") {
  SampleIndex sample;
  const Opened o = Open(sample);
  const Index& index = *o.index;
  for (const auto& [alias, original] : {std::pair{"a first alias", "full"}, std::pair{"parts again", "parts"}}) {
    const TensorRecord a = Find(index, alias), b = Find(index, original);
    CHECK(a.first_part == b.first_part);
    CHECK(a.part_count == b.part_count);
    CHECK(a.shape() == b.shape());
    CHECK(a.dtype == b.dtype);
    CHECK(a.axis == b.axis);
  }
  // The one whose name comes first has the parts, the later one is the alias.
  for (uint32_t i = 0; i < index.tensor_count(); ++i) {
    const std::string_view name = index.tensor(i).name;
    CHECK(index.IsAlias(i) == (name == "full" || name == "parts again"));
  }
}

TEST_CASE("metadata, attachments, sources, SHA-256 and dead ranges come back") {
  SampleIndex sample;
  const Opened o = Open(sample);
  const Index& index = *o.index;
  const auto value = [&](const char* key) {
    const auto record = index.FindMetadata(key);
    REQUIRE_MESSAGE(record, key);
    return *record;
  };
  CHECK(AsText(value("ingot.generator").value) == "a test \u00e9");
  CHECK(value("ingot.generator").type == static_cast<uint8_t>(MetadataType::kString));
  CHECK(Load<uint8_t>(value("yes").value.data()) == 1);
  CHECK(Load<int64_t>(value("minus").value.data()) == std::numeric_limits<int64_t>::min());
  CHECK(Load<uint64_t>(value("large").value.data()) == UINT64_MAX);
  CHECK(Load<double>(value("pi").value.data()) == 3.25);
  CHECK(value("none").value.empty());
  CHECK(value("words").element_type == static_cast<uint8_t>(MetadataType::kString));
  CHECK(value("words").value.size() == 3 * 4 + 8);
  for (uint8_t type = 0; type < 11; ++type) {
    const MetadataRecord array = value(("array " + std::to_string(type)).c_str()),
                         scalar = value(("scalar " + std::to_string(type)).c_str());
    CHECK(array.element_type == type);
    CHECK(array.value.size() == 3 * scalar.value.size());
    CHECK(scalar.type == type);
    CHECK(scalar.element_type == 0);
  }
  CHECK_FALSE(index.FindMetadata("missing"));
  for (uint32_t i = 1; i < index.count(Table::kMetadata); ++i) CHECK(index.metadata(i - 1).key < index.metadata(i).key);

  REQUIRE(index.count(Table::kAttachments) == 3);
  CHECK(index.attachment(0).name == "config.json");
  CHECK(Equal(PlaneBytes(o, index.attachment(0).plane), Bytes(400)));
  CHECK(index.attachment(1).name == "empty.txt");
  CHECK(index.attachment(1).plane == kNoRecord);
  CHECK(index.attachment(2).name == "folder/tokenizer.model");
  CHECK(Equal(PlaneBytes(o, index.attachment(2).plane), Pattern(33, 90)));

  REQUIRE(index.count(Table::kSources) == 2);
  CHECK(index.source(0).name == "model-1.safetensors");
  CHECK(index.source(0).size == 77);
  CHECK(index.source(0).hash == Hash128{1, 2});
  CHECK(index.source(1).hash == Hash128{3, 4});
  REQUIRE(index.count(Table::kSha256) == index.plane_count() + 2);
  for (uint32_t p = 0; p < index.plane_count(); ++p) CHECK(index.sha256(p) == Sha256Of(PlaneBytes(o, p)));
  CHECK(index.sha256(index.plane_count()) == Sha256Of(AsBytes("one")));
  CHECK(index.sha256(index.plane_count() + 1) == Sha256Of(AsBytes("two")));
  REQUIRE(index.count(Table::kDeadRanges) == 2);
  CHECK(index.dead_range(0).size == 100);
  CHECK(index.dead_range(0).offset < index.dead_range(1).offset);
  CHECK((index.header().required_features & (kFeatureShards | kFeatureZstd)) == 0);
}

TEST_CASE("frames come back, and the feature is set") {
  SampleIndex sample({.compress = true});
  const Opened o = Open(sample);
  CHECK(o.header.required_features == kFeatureZstd);
  const PlaneRecord p = o.index->plane(EncodingOf(*o.index, Find(*o.index, "two chunks")).first_plane);
  REQUIRE(p.framed());
  CHECK(o.index->stored_size(p) < 2000);
  uint64_t at = 0;
  for (uint32_t f = p.first_frame; f < p.first_frame + 2; ++f) {
    const FrameRecord frame = o.index->frame(f);
    CHECK(frame.offset == at);
    CHECK(Xxh3_64(ByteSpan(o.image).subspan(p.offset + frame.offset, frame.size)) == frame.hash);
    at += frame.size;
  }
  CHECK(o.index->stored_size(p) == at);
}

TEST_CASE("shards come back, in the order of their names") {
  IndexBuilder builder;
  builder.AddShard("b.ingot", {5, 6}, {7, 8});
  builder.AddShard("a.ingot", {1, 2}, {3, 4});
  ImageBuilder image;
  const Bytes bytes = image.Finish(builder);
  CHECK(image.header().required_features == kFeatureShards);
  Report report;
  const auto index = OpenIndex(bytes, image.header(), report);
  REQUIRE(report.ok());
  REQUIRE(index->count(Table::kShards) == 2);
  CHECK(index->shard(0).name == "a.ingot");
  CHECK(index->shard(0).names_digest == Hash128{1, 2});
  CHECK(index->shard(1).content_digest == Hash128{7, 8});
}

TEST_CASE("the bytes do not depend on the order in which records were added") {
  for (bool compress : {false, true}) {
    SampleIndex sample({.compress = compress});
    const Bytes first = sample.Build();
    std::mt19937 random(3);
    for (int i = 0; i < 20; ++i) {
      std::shuffle(sample.steps().begin(), sample.steps().end(), random);
      CHECK(sample.Build() == first);
    }
  }
}

TEST_CASE("digests depend on tensors alone: not on places, compression or what lies beside them") {
  const auto digests_of = [](const SampleOptions& options, uint32_t alignment) {
    SampleIndex sample(options, alignment);
    const Opened o = Open(sample);
    return Digests(*o.index);
  };
  const auto first = digests_of({}, 256);
  for (uint32_t alignment : {64u, 256u, 4096u}) {
    for (bool compress : {false, true}) {
      for (bool later : {false, true}) {
        for (bool provenance : {false, true}) CHECK(digests_of({compress, later, provenance}, alignment) == first);
      }
    }
  }
}

TEST_CASE("digests change with every name, dtype, shape, part and byte") {
  std::set<Hash128> contents, names;
  const auto add = [&](const std::string& name, DType dtype, std::vector<uint64_t> shape, ByteSpan bytes) {
    ImageBuilder image;
    IndexBuilder builder;
    builder.AddTensor(name, dtype, shape, 0,
                      {{shape[0], builder.AddEncoding(EncodingKind::kRaw, {}, {image.Add(bytes)})}});
    Report report;
    const Bytes file = image.Finish(builder);
    const auto index = OpenIndex(file, image.header(), report);
    REQUIRE(report.ok());
    const auto [n, c] = Digests(*index);
    names.insert(n);
    CHECK(contents.insert(c).second);
  };
  const Bytes bytes = Pattern(24, 1), other = Pattern(24, 2);
  add("a", DType::kF32, {6}, bytes);
  add("b", DType::kF32, {6}, bytes);
  add("a", DType::kI32, {6}, bytes);
  add("a", DType::kF32, {2, 3}, bytes);
  add("a", DType::kF32, {6, 1}, bytes);
  add("a", DType::kF32, {6}, other);
  CHECK(names.size() == 2);
}

TEST_CASE("an index without any record") {
  ImageBuilder image;
  const Bytes bytes = image.Finish(IndexBuilder());
  CHECK(image.header().index_size == kIndexHeadSize);
  Report report;
  const auto index = OpenIndex(bytes, image.header(), report);
  REQUIRE(report.ok());
  CHECK(index->tensor_count() == 0);
  CHECK_FALSE(index->FindTensor(""));
  CHECK(Digests(*index).first == Xxh3_128({}));
}

}  // namespace
}  // namespace ingot::test

// Conversions as a whole: targets, shards, ties, provenance, refusals, interruption.
#include "convert/convert.h"

#include <cmath>
#include <limits>

#include "format/layout.h"
#include "tests/convert/convert_fixture.h"

namespace ingot::test {
namespace {

using Names = std::vector<std::string>;

const Method kInt4 = LinearMethod(4, 64, ZeroPointKind::kInteger);

std::vector<DenseTensor> Layers(int count, unsigned seed = 1) {
  std::vector<DenseTensor> out;
  for (int i = 0; i < count; ++i) {
    out.push_back(RandomTensor("layer" + std::to_string(i), DType::kF16, {64, 256}, seed + static_cast<unsigned>(i)));
    out.push_back(RandomTensor("norm" + std::to_string(i), DType::kF32, {300}, 100 + seed + static_cast<unsigned>(i)));
  }
  return out;
}

TEST_CASE("shards: the same content under a manifest, in files of about the size that was asked for") {
  Workshop shop;
  const auto tensors = Layers(6);
  const auto single = shop.Make(tensors, By(kInt4), "single.ingot");
  for (const uint64_t size : {uint64_t{1}, uint64_t{21000}, uint64_t{1} << 30}) {
    ConvertOptions options = By(kInt4);
    options.shard_size = size;
    const auto model = shop.Make(tensors, options, "m.ingot");
    CHECK(model->ContentDigest() == single->ContentDigest());
    CHECK(model->tensor_count() == tensors.size());
    const auto& files = shop.result().files;
    CHECK(files.back() == shop.out() / "m.ingot");
    CHECK(files.size() == (size == 1 ? tensors.size() + 1 : size == 21000 ? 4u : 1u));
    CHECK(model->containers().size() == files.size());
    uint64_t bytes = 0;
    for (const std::string& file : files) bytes += std::filesystem::file_size(file);
    CHECK(bytes == shop.result().file_bytes);
    for (const DenseTensor& t : tensors) {
      if (t.shape.size() == 1) CHECK(RawBytes(*model, t.name) == t.bytes);
      if (t.shape.size() == 2) CHECK(DecodeTensor(*model, t.name) == DecodeTensor(*single, t.name));
    }
    // Replacing a manifest removes the shards of the one before.
    CHECK(shop.out().Names().size() == files.size() + 1);
  }
}

TEST_CASE("shards that exist are not replaced without force, and those written before are removed again") {
  Workshop shop;
  ConvertOptions options = By(kInt4);
  options.shard_size = 1;
  const std::string source = shop.Put(Layers(2));
  REQUIRE(shop.Convert(source, "m.ingot", options));
  std::filesystem::remove(shop.out() / "m.ingot");
  const Names before = shop.out().Names();
  REQUIRE(before.size() == 4);
  std::filesystem::remove(shop.out() / before[0]);
  const auto again = shop.Convert(source, "m.ingot", options);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::kUsage);
  CHECK(shop.out().Names() == Names(before.begin() + 1, before.end()));
}

TEST_CASE("compression: the same content in fewer bytes; verified, hashed") {
  Workshop shop;
  auto tensors = Layers(2);
  tensors.push_back(TensorOf("flat", DType::kF32, {1 << 19}, std::vector<float>(1 << 19, 1.5f)));
  tensors.push_back(RandomTensor("long", DType::kF32, {1 << 19}, 9));
  const auto plain = shop.Make(tensors, By(kInt4), "plain.ingot");
  ConvertOptions options = By(kInt4);
  options.compress = options.verify = true;
  const auto packed = shop.Make(tensors, options, "packed.ingot");
  CHECK(packed->ContentDigest() == plain->ContentDigest());
  CHECK(packed->main().file().size() < plain->main().file().size() * 3 / 5);
  CHECK((packed->main().header().required_features & kFeatureZstd) != 0);
  for (const char* name : {"flat", "long", "norm0"}) CHECK(RawBytes(*packed, name) == RawBytes(*plain, name));
}

TEST_CASE("SHA-256 of planes and sources, XXH3 of sources") {
  Workshop shop;
  ConvertOptions options = By(kInt4);
  options.sha256 = true;
  const auto tensors = Layers(2);
  const auto model = shop.Make(tensors, options);
  const Index& index = model->main().index();
  const Bytes source = ReadBytes(shop.in() / "model.safetensors");
  REQUIRE(index.count(Table::kSources) == 1);
  CHECK(index.source(0).name == "model.safetensors");
  CHECK(index.source(0).size == source.size());
  CHECK(index.source(0).hash == Xxh3_128(source));
  REQUIRE(index.count(Table::kSha256) == index.plane_count() + 1);
  CHECK(index.sha256(index.plane_count()) == Sha256Of(source));
  CHECK(shop.Make(tensors, By(kInt4))->main().index().source(0).hash == Xxh3_128(source));
}

TEST_CASE("tied tensors are stored once, kept or quantized, compressed or not") {
  Workshop shop;
  const DenseTensor a = RandomTensor("embedding", DType::kF16, {64, 256}, 1);
  DenseTensor b = a, other = RandomTensor("other", DType::kF16, {64, 256}, 2), flat = a, ints = a;
  b.name = "head";
  flat.name = "other shape", flat.shape = {256, 64};
  ints.name = "other dtype", ints.dtype = DType::kI16;
  for (const bool quantize : {false, true}) {
    for (const bool compress : {false, true}) {
      ConvertOptions options = By(quantize ? kInt4 : Method{});
      options.compress = compress;
      const auto model = shop.Make({a, other, flat, b, ints}, options);
      const uint32_t first = NumberOf(*model, "embedding"), second = NumberOf(*model, "head");
      CHECK(model->tensor(first).first_part == model->tensor(second).first_part);
      CHECK(model->is_alias(second));
      size_t aliases = 0;
      for (uint32_t i = 0; i < 5; ++i) aliases += model->is_alias(i);
      CHECK(aliases == 1);
      if (!quantize) CHECK(RawBytes(*model, "head") == a.bytes);
      if (quantize) CHECK(DecodeTensor(*model, "head") == DecodeTensor(*model, "embedding"));
      const auto last = shop.Make({other, a, b}, options);  // the alias is what is written last
      CHECK(last->is_alias(NumberOf(*last, "head")));
    }
  }
}

TEST_CASE("metadata, recipe, generator and files beside the checkpoint are carried along; no path, no time") {
  Bytes first;
  for (int round = 0; round < 2; ++round) {
    Workshop shop;
    shop.in().Write("config.json", AsBytes("{\"a\":1}"));
    shop.Put(Layers(1), R"({"format":"pt","note":"x"})");
    ConvertOptions options = By(kInt4);
    const auto result = shop.Convert(shop.in().path(), "x.ingot", options);
    REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
    const auto model = Workshop::Must(Model::Open(shop.out() / "x.ingot"));
    const Index& index = model->main().index();
    const auto text = [&](const char* key) { return std::string(AsText(index.FindMetadata(key).value().value)); };
    CHECK(text("safetensors.format") == "pt");
    CHECK(text("safetensors.note") == "x");
    CHECK(text("ingot.generator") == GeneratorName());
    CHECK(text("ingot.recipe") == RecipeToJson(options.selection.recipe));
    CHECK(index.count(Table::kMetadata) == 4);
    REQUIRE(index.count(Table::kAttachments) == 1);
    CHECK(index.attachment(0).name == "config.json");
    const Bytes attached = Workshop::Must(model->main().ReadPlane(index.attachment(0).plane));
    CHECK(AsText(attached) == "{\"a\":1}");
    const Bytes bytes = ReadBytes(shop.out() / "x.ingot");
    if (first.empty()) first = bytes;
    CHECK(bytes == first);
  }
}

TEST_CASE("values that are not finite are named, or converted where that is allowed") {
  Workshop shop;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> values(3 * 100, 0.5f);
    values[1 * 100 + 17] = bad;
    values[2 * 100] = bad;
    values[7] = -2;
    const std::vector<DenseTensor> tensors = {RandomTensor("a", DType::kF16, {2, 100}, 1),
                                              TensorOf("w", DType::kF32, {3, 100}, values)};
    ConvertOptions options = By(kInt4);
    const Error error = shop.MustFail(tensors, options);
    CHECK(error.code == ErrorCode::kBadInput);
    const std::string text =
        fmt::format("{}: tensor 'w': row 1, column 17 is {}", shop.in() / "model.safetensors", bad);
    CHECK_MESSAGE(error.message.starts_with(text), error.message);
    options.allow_nonfinite = true;
    const std::vector<float> decoded = DecodeTensor(*shop.Make(tensors, options), "w");
    CHECK(std::fabs(decoded[1 * 100 + 16] - 0.5f) < 1e-3f);
    CHECK(std::isfinite(decoded[1 * 100 + 17]));
    CHECK(RawBytes(*shop.Make(tensors, By(Method{})), "w") == tensors[1].bytes);  // kept ones are nobody's business
  }
}

TEST_CASE("a scale that does not fit its type is named") {
  Workshop shop;
  std::vector<float> values(4 * 128, 1.0f);
  values[2 * 128 + 70] = 3e9f;
  for (const uint64_t group : {uint64_t{64}, Method::kPerTensor}) {
    const std::vector<DenseTensor> tensors = {TensorOf("w", DType::kF32, {4, 128}, values)};
    const Error error = shop.MustFail(tensors, By(LinearMethod(4, group, ZeroPointKind::kSymmetric)));
    CHECK(error.code == (group == 64 ? ErrorCode::kBadInput : ErrorCode::kUsage));
    CHECK_MESSAGE(Contains(error.message, "tensor 'w'"), error.message);
    if (group == 64)
      CHECK_MESSAGE(Contains(error.message, "row 2, group 1: the scale 4.28571e+08 does not fit F16"), error.message);
    shop.Make(tensors, By(LinearMethod(4, group, ZeroPointKind::kSymmetric, DType::kBF16)));
  }
}

TEST_CASE("targets that would destroy something are refused") {
  Workshop shop;
  const std::string source = shop.Put(Layers(1));
  const auto opened = Workshop::Must(OpenSource(source));
  const auto code = [&](const std::string& source_path, const std::string& target, bool force) {
    ConvertOptions options = By(kInt4);
    options.force = force;
    const auto result = Convert(*opened, source_path, target, options);
    REQUIRE_FALSE(result);
    return result.error().code;
  };
  const Bytes before = ReadBytes(source);
  std::filesystem::create_hard_link(source, shop.out() / "same");
  std::filesystem::create_directory(shop.in() / "sub");
  for (const bool force : {false, true}) {
    CHECK(code(source, source, force) == ErrorCode::kUsage);
    CHECK(code(source, shop.out() / "same", force) == ErrorCode::kUsage);
    CHECK(code(shop.in().path(), shop.in() / "x.ingot", force) == ErrorCode::kUsage);
    CHECK(code(shop.in().path(), shop.in() / "sub/x.ingot", force) == ErrorCode::kUsage);
    CHECK(code(shop.in().path(), shop.out() / ("../" + shop.in().path().substr(5) + "/x.ingot"), force) ==
          ErrorCode::kUsage);
    CHECK(code(source, shop.out().path(), force) == ErrorCode::kUsage);
    CHECK(code(source, shop.out() / "missing/x.ingot", force) == ErrorCode::kIo);
  }
  shop.out().Write("x.ingot", AsBytes("precious"));
  CHECK(code(source, shop.out() / "x.ingot", false) == ErrorCode::kUsage);
  CHECK(AsText(ReadBytes(shop.out() / "x.ingot")) == "precious");
  CHECK(ReadBytes(source) == before);
  CHECK(shop.out().Names() == Names{"same", "x.ingot"});
  CHECK(shop.in().Names() == Names{"model.safetensors", "sub"});
  shop.Make(Layers(1), By(kInt4), "x.ingot");  // with force
}

TEST_CASE("whoever says stop is told so, and nothing is left behind") {
  Workshop shop;
  auto tensors = Layers(4);
  tensors.push_back(RandomTensor("large", DType::kF32, {1500, 1024}, 7));
  for (const uint64_t shard_size : {uint64_t{0}, uint64_t{20000}}) {
    for (const double ratio : {0.0, 0.01}) {
      for (int allowed : {0, 1, 5, 8}) {
        Method m = kInt4;
        m.outlier_ratio = ratio;
        ConvertOptions options = By(m);
        options.shard_size = shard_size;
        int calls = 0;
        options.progress = [&](uint64_t, uint64_t) { return calls++ < allowed; };
        CHECK(shop.MustFail(tensors, options).code == ErrorCode::kInterrupted);
      }
    }
  }
  uint64_t last = 0, source_bytes = 0;
  for (const DenseTensor& t : tensors) source_bytes += t.bytes.size();
  ConvertOptions options = By(kInt4);
  options.progress = [&](uint64_t done, uint64_t total) {
    CHECK(done >= last);
    CHECK(total == source_bytes);
    last = done;
    return true;
  };
  shop.Make(tensors, options);
  CHECK(last == source_bytes);
  CHECK(shop.result().source_bytes == source_bytes);
}

TEST_CASE("a failure in a later shard removes the earlier ones, and leaves what was there") {
  Workshop shop;
  ConvertOptions options = By(kInt4);
  options.shard_size = 1;
  shop.Make(Layers(2, 50), options, "m.ingot");
  const Names before = shop.out().Names();
  auto tensors = Layers(3);
  tensors.push_back(TensorOf("bad", DType::kF32, {2, 2}, {1, 2, 3, std::numeric_limits<float>::quiet_NaN()}));
  options.force = true;
  REQUIRE_FALSE(shop.Convert(shop.Put(tensors), "m.ingot", options));
  CHECK(shop.out().Names() == before);
  CHECK(Workshop::Must(ValidateFile(shop.out() / "m.ingot")).valid());
}

TEST_CASE("a source without tensors, and every alignment") {
  Workshop shop;
  CHECK(shop.Make({}, By(kInt4))->tensor_count() == 0);
  for (uint32_t alignment = kMinAlignment; alignment <= kMaxAlignment; alignment *= 8) {
    ConvertOptions options = By(kInt4);
    options.alignment = alignment;
    const auto model = shop.Make(Layers(1), options);
    CHECK(model->main().header().alignment == alignment);
  }
}

}  // namespace
}  // namespace ingot::test

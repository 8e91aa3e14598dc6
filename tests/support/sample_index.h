// An index with every kind of record that goes together in one file, made step by step, so that tests can change the
// order of the steps.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/formula.h"
#include "tests/support/image_builder.h"

namespace ingot::test {

// Bytes without a meaning, the same for the same seed.
inline Bytes Pattern(uint64_t size, unsigned seed) {
  Bytes out(size);
  uint32_t state = seed * 2654435761u + 12345u;
  for (std::byte& b : out) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(state >> 24);
  }
  return out;
}

// The planes of a linear encoding, filled at random as its rules allow.
inline std::vector<Bytes> RandomPlanes(const Linear& linear, bool nested, unsigned seed) {
  return Dice(seed).Fill(linear, nested).Planes();
}
inline std::vector<WrittenPlane> AddPlanes(ImageBuilder& image, const std::vector<Bytes>& planes) {
  std::vector<WrittenPlane> written;
  for (const Bytes& plane : planes) written.push_back(image.Add(plane));
  return written;
}

inline constexpr uint16_t kUnknownKind = 77;

struct SampleOptions {
  bool compress = false;      // frames for what compresses
  bool later_planes = false;  // planes lie elsewhere in the file and in another order
  bool provenance = true;     // metadata, attachments, sources, SHA-256, dead ranges
};

class SampleIndex {
 public:
  using Step = std::function<void(IndexBuilder&)>;

  explicit SampleIndex(const SampleOptions& options = {}, uint32_t alignment = kDefaultAlignment)
      : image_(alignment), options_(options) {
    if (options.later_planes) {
      AddAttachments();
      AddTensors(false);
    } else {
      AddTensors(true);
      AddAttachments();
    }
    if (options.provenance) AddOthers();
  }

  std::vector<Step>& steps() { return steps_; }
  Header& header() { return image_.header(); }

  // The image of the file, the records added in the order of steps().
  Bytes Build() {
    Header header;
    return Build(header);
  }
  Bytes Build(Header& header) {
    IndexBuilder builder;
    builder.RecordSha256(options_.provenance);
    for (const Step& step : steps_) step(builder);
    ImageBuilder image = image_;
    Bytes bytes = image.Finish(builder);
    header = image.header();
    return bytes;
  }

  static Linear FullLinear() {
    Linear l;
    l.bits = 3;
    l.arithmetic = DType::kF16;
    l.result = DType::kBF16;
    l.codebook = l.permutation = true;
    l.rows = 4, l.cols = 20, l.group_rows = 2, l.group_cols = 8;
    l.s = Operand::Array(DType::kF16);
    l.z = Operand::Nested();
    l.o = Operand::Constant(0.5f);
    l.t = Operand::Array(DType::kBF16);
    l.outliers = OutlierForm::kUnstructured;
    l.outlier_type = DType::kF16;
    l.outlier_count = 5;
    return l;
  }
  static Linear FullChild() {
    Linear l;
    l.bits = 5;
    l.rows = 2, l.cols = 3, l.group_rows = 1, l.group_cols = 3;
    l.s = Operand::Array(DType::kF32);
    return l;
  }
  static Linear PartLinear(uint64_t cols) {
    Linear l;
    l.bits = 4;
    l.rows = 2, l.cols = cols, l.group_rows = 2, l.group_cols = cols;
    l.s = Operand::Constant(0.25f);
    return l;
  }

 private:
  using Parts = std::vector<IndexBuilder::Part>;
  using Shape = std::vector<uint64_t>;

  WrittenPlane Zeros(uint64_t size, int element_size) {
    const Bytes zeros(size);
    return options_.compress ? image_.AddFramed(zeros, element_size) : image_.Add(zeros);
  }

  void AddRaw(const std::string& name, DType dtype, std::vector<uint64_t> shape, std::vector<WrittenPlane> planes) {
    steps_.push_back([=](IndexBuilder& b) {
      const uint32_t e = b.AddEncoding(EncodingKind::kRaw, {}, planes);
      b.AddTensor(name, dtype, shape, 0, {{shape.empty() ? 1 : shape[0], e}});
    });
  }

  void AddTensors(bool forward) {
    std::vector<std::function<void()>> adders = {
        [this] { AddRaw("scalar", DType::kF64, {}, {image_.Add(Pattern(8, 1))}); },
        [this] {
          AddRaw("empty", DType::kF32, {0, 7}, {});
        },
        [this] {
          AddRaw("zeros", DType::kBF16, {50, 60}, {Zeros(6000, 2)});
        },
        [this] { AddRaw("two chunks", DType::kU8, {kChunkSize + 10}, {Zeros(kChunkSize + 10, 1)}); },
        [this] {
          AddRaw("", DType::kI16, {1, 1, 1, 1, 1, 1, 1, 3}, {image_.Add(Pattern(6, 2))});
        },
        [this] { AddFull(); },
        [this] { AddParts(); },
        [this] { AddForeign(); },
        [this] { AddUnknown(); },
    };
    if (!forward) std::reverse(adders.begin(), adders.end());
    for (const auto& add : adders) add();
    steps_.push_back([](IndexBuilder& b) { b.AddAlias("a first alias", "full"); });
    steps_.push_back([](IndexBuilder& b) { b.AddAlias("parts again", "parts"); });
  }

  void AddFull() {
    const auto child_planes = AddPlanes(image_, RandomPlanes(FullChild(), true, 10));
    const auto planes = AddPlanes(image_, RandomPlanes(FullLinear(), false, 20));
    steps_.push_back([=](IndexBuilder& b) {
      const uint32_t child = b.AddEncoding(EncodingKind::kLinear, EncodeLinear(FullChild()), child_planes);
      const uint32_t e = b.AddEncoding(EncodingKind::kLinear, EncodeLinear(FullLinear()), planes, {child});
      b.AddTensor("full", DType::kF16, Shape{2, 2, 20}, 0, {{2, e}});
    });
  }

  void AddParts() {
    const auto first = AddPlanes(image_, RandomPlanes(PartLinear(9), false, 40)),
               second = AddPlanes(image_, RandomPlanes(PartLinear(7), false, 50));
    const WrittenPlane third = image_.Add(Pattern(2 * 2 * 4, 60));
    steps_.push_back([=](IndexBuilder& b) {
      Parts parts;
      parts.push_back({9, b.AddEncoding(EncodingKind::kLinear, EncodeLinear(PartLinear(9)), first)});
      parts.push_back({7, b.AddEncoding(EncodingKind::kLinear, EncodeLinear(PartLinear(7)), second)});
      parts.push_back({2, b.AddEncoding(EncodingKind::kRaw, {}, {third})});
      b.AddTensor("parts", DType::kF32, Shape{2, 18}, 1, parts);
    });
  }

  void AddForeign() {
    const WrittenPlane plane = image_.Add(Pattern(3 * 18, 70));
    steps_.push_back([=](IndexBuilder& b) {
      const uint32_t e = b.AddEncoding(EncodingKind::kForeign, EncodeForeign({18, 32, 96, "q4_0"}), {plane});
      b.AddTensor("foreign", DType::kF32, Shape{96}, 0, {{96, e}});
    });
  }

  void AddUnknown() {
    const WrittenPlane child_plane = image_.Add(Pattern(5, 80)), plane = image_.Add(Pattern(7, 81));
    steps_.push_back([=](IndexBuilder& b) {
      const uint32_t child = b.AddEncodingRecord(kUnknownKind + 1, 0, Pattern(3, 82), {child_plane}, {});
      const uint32_t e = b.AddEncodingRecord(kUnknownKind, 0, Pattern(9, 83), {plane}, {child});
      b.AddTensor("unknown", DType::kI64, Shape{4, 4}, 0, {{4, e}});
    });
  }

  void AddAttachments() {
    if (!options_.provenance) return;
    const WrittenPlane config = Zeros(400, 1), tokenizer = image_.Add(Pattern(33, 90));
    steps_.push_back([=](IndexBuilder& b) { b.AddAttachment("config.json", config); });
    steps_.push_back([=](IndexBuilder& b) { b.AddAttachment("folder/tokenizer.model", tokenizer); });
    steps_.push_back([](IndexBuilder& b) { b.AddAttachment("empty.txt", {}); });
  }

  void AddOthers() {
    steps_.push_back([](IndexBuilder& b) { b.AddSource("model-2.safetensors", 99, {3, 4}, Sha256Of(AsBytes("two"))); });
    steps_.push_back([](IndexBuilder& b) { b.AddSource("model-1.safetensors", 77, {1, 2}, Sha256Of(AsBytes("one"))); });
    for (const DeadRange range : {image_.AddDead(100), image_.AddDead(kDefaultAlignment)}) {
      steps_.push_back([=](IndexBuilder& b) { b.AddDeadRange(range.offset, range.size); });
    }
    const auto set = [this](const std::string& key, const MetadataValue& value) {
      steps_.push_back([=](IndexBuilder& b) { b.SetMetadata(key, value); });
    };
    set("ingot.generator", MetadataValue::String("a test \u00e9"));
    set("yes", MetadataValue::Bool(true));
    set("minus", MetadataValue::I64(std::numeric_limits<int64_t>::min()));
    set("large", MetadataValue::U64(UINT64_MAX));
    set("pi", MetadataValue::F64(3.25));
    set("none", MetadataValue::String(""));
    MetadataValue words;
    words.type = MetadataType::kArray;
    words.element_type = MetadataType::kString;
    for (std::string_view word : {"one", "", "three"}) {
      Append(words.bytes, static_cast<uint32_t>(word.size()));
      Append(words.bytes, AsBytes(word));
    }
    set("words", words);
    for (uint8_t type = 0; type < 11; ++type) {
      const MetadataValue array{MetadataType::kArray, static_cast<MetadataType>(type),
                                Bytes(3 * MetadataScalarSize(type))};
      const MetadataValue scalar{static_cast<MetadataType>(type), MetadataType::kBool, Bytes(MetadataScalarSize(type))};
      set("array " + std::to_string(type), array);
      set("scalar " + std::to_string(type), scalar);
    }
  }

  ImageBuilder image_;
  SampleOptions options_;
  std::vector<Step> steps_;
};

}  // namespace ingot::test

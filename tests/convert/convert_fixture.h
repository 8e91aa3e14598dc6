// Converts small checkpoints that a test makes up, and reads back what came out.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "convert/convert.h"
#include "runtime/model.h"
#include "runtime/tensor_reader.h"
#include "runtime/validate.h"
#include "tests/support/safetensors_file.h"
#include "tests/support/temp_directory.h"

namespace ingot::test {

using Bytes = std::vector<std::byte>;

// Options by which every tensor that can be quantized is, by one method.
inline ConvertOptions By(const Method& method) {
  ConvertOptions options;
  options.selection.recipe = RecipeOf("test", method);
  options.selection.rules_decide = true;
  return options;
}

inline Method LinearMethod(int bits, uint64_t group, ZeroPointKind zero, DType scale = DType::kF16) {
  return {MethodKind::kLinear, bits, group, zero, scale, false, 0.0, OutlierKind::kUnstructured};
}

class Workshop {
 public:
  // The source file is replaced by each call.
  std::string Put(const std::vector<DenseTensor>& tensors, const std::string& metadata = "") {
    return in_.Write("model.safetensors", SafetensorsOf(tensors, metadata));
  }
  Result<ConvertResult> Convert(const std::string& source_path, const std::string& name,
                                const ConvertOptions& options) {
    auto source = OpenSource(source_path);
    REQUIRE_MESSAGE(source, (source ? "" : source.error().message));
    return ingot::Convert(**source, source_path, out_ / name, options);
  }
  // Converts to `name`, validates all of it, and opens it.
  std::shared_ptr<const Model> Make(const std::vector<DenseTensor>& tensors, ConvertOptions options,
                                    const std::string& name = "x.ingot") {
    options.force = true;
    result_ = Must(Convert(Put(tensors), name, options));
    const Validation v = Must(ValidateFile(out_ / name));
    for (const Violation& violation : v.violations) FAIL(violation.rule, " ", violation.place, ": ", violation.message);
    auto model = Must(Model::Open(out_ / name));
    CHECK(model->ContentDigest() == result_.content_digest);
    for (const auto& container : model->containers()) CHECK(container->index().count(Table::kDeadRanges) == 0);
    return model;
  }
  // The error of a conversion that must fail; nothing may be left behind.
  Error MustFail(const std::vector<DenseTensor>& tensors, const ConvertOptions& options) {
    const auto before = out_.Names();
    const auto result = Convert(Put(tensors), "failed.ingot", options);
    REQUIRE_FALSE(result);
    CHECK(out_.Names() == before);
    return result.error();
  }

  const ConvertResult& result() const { return result_; }
  const TempDirectory& in() const { return in_; }
  const TempDirectory& out() const { return out_; }

  template <typename T>
  static T Must(Result<T> result) {
    REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
    return std::move(*result);
  }

 private:
  TempDirectory in_, out_;
  ConvertResult result_;
};

inline uint32_t NumberOf(const Model& model, const std::string& name) {
  const auto number = model.Find(name);
  REQUIRE_MESSAGE(number, name);
  return *number;
}

inline std::vector<float> DecodeTensor(const Model& model, const std::string& name) {
  const auto reader = Workshop::Must(TensorReader::Open(model, NumberOf(model, name)));
  std::vector<float> out(reader.element_count());
  REQUIRE(reader.Decode(0, out.size(), out.data()));
  return out;
}

inline Bytes RawBytes(const Model& model, const std::string& name) {
  const auto reader = Workshop::Must(TensorReader::Open(model, NumberOf(model, name)));
  Bytes out(reader.element_count() * InfoOf(reader.dtype()).size);
  REQUIRE(reader.ReadRaw(0, reader.element_count(), out.data()));
  return out;
}

// The encodings of a tensor's parts; raw ones are left out.
inline std::vector<Linear> LinearsOf(const Model& model, const std::string& name) {
  std::vector<Linear> out;
  const uint32_t number = NumberOf(model, name);
  const Index& index = model.container_of(number).index();
  const TensorRecord t = model.tensor(number);
  for (uint32_t p = t.first_part; p < t.first_part + t.part_count; ++p) {
    const EncodingRecord e = index.encoding(index.part(p).encoding);
    if (e.is(EncodingKind::kLinear)) out.push_back(DecodeLinear(index.payload(e)));
  }
  return out;
}

}  // namespace ingot::test

// Any bytes as a GGUF file: refused, or all ranges lie within the file and every tensor can be taken apart.
#include "convert/gguf/gguf_header.h"
#include "convert/gguf/gguf_tensor.h"
#include "format/checked.h"
#include "format/text.h"
#include "tests/fuzz/require.h"

namespace ingot {
namespace {

// The bytes under test as a source without anything else.
class BytesSource final : public Source {
 public:
  explicit BytesSource(ByteSpan bytes) : source_(SourceOf(bytes)) {}
  std::string_view kind() const override { return "gguf"; }
  const std::vector<SourceFile>& files() const override { return files_; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SourceAttachment>& attachments() const override { return attachments_; }
  const SourceMetadata& metadata() const override { return metadata_; }
  Status Read(uint32_t, uint64_t offset, std::span<std::byte> out) const override { return source_.read(offset, out); }

 private:
  ByteSource source_;
  std::vector<SourceFile> files_;
  std::vector<SourceTensor> tensors_;
  std::vector<SourceAttachment> attachments_;
  SourceMetadata metadata_;
};

// What the blocks add up to, against what the plan promises.
void CheckPlanes(const GgufTensor& tensor, const GgufTensorInfo& info) {
  EncodedPart part;
  std::array<uint64_t, kMaxFields> codes{};
  uint64_t bytes = 0;
  for (uint64_t b = 0; b < tensor.block_count(); ++b) {
    part.Clear();
    Require(tensor.Encode(b, {&part, 1}).has_value());
    for (size_t f = 0; f < codes.size(); ++f) codes[f] += part.codes[f].size();
    bytes += part.bytes.size();
  }
  if (tensor.plan().parts.empty()) return Require(bytes == info.size);
  size_t field = 0;
  for (const PlaneSpec& spec : PlanesOf(tensor.plan().parts[0].linear, false)) {
    if (spec.role == PlaneRole::kCodes) Require(codes[field++] == spec.size);
  }
  std::vector<float> values(info.element_count());
  Require(tensor.Decode(0, values.size(), values.data()).has_value());
}

}  // namespace
}  // namespace ingot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  const BytesSource source(std::as_bytes(std::span(data, size)));
  const auto header = ReadGgufHeader(SourceOf(std::as_bytes(std::span(data, size))), "fuzz");
  if (!header) return 0;
  for (const auto& [key, value] : header->metadata) Require(!key.empty() && IsUtf8(key));
  for (const GgufTensorInfo& info : header->tensors) {
    Require(info.shape.size() <= kMaxGgufDimensions && info.name.size() <= kMaxGgufName);
    Require(InRange(info.offset, info.size, size));
    Require(CheckedProduct(info.shape) == info.element_count());
    if (info.type->import == GgufImport::kRaw || info.size == 0) continue;
    CheckPlanes(GgufTensor(source, 0, info), info);
  }
  return 0;
}

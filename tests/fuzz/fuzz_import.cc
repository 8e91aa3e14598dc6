// A quantized checkpoint from any bytes: a u32 with the size of config.json, config.json, a safetensors file. Refused,
// or every tensor can be encoded, into planes of the sizes that its plan promises, and decoded.
#include "convert/import/imported_source.h"

#include <algorithm>

#include "convert/encoded_tensor.h"
#include "convert/json_reader.h"
#include "convert/safetensors.h"
#include "format/checked.h"
#include "tests/fuzz/require.h"

namespace ingot {
namespace {

constexpr uint64_t kMostElements = 1 << 20;  // of a tensor that is taken apart

class MemorySource final : public Source {
 public:
  MemorySource(ByteSpan bytes, std::vector<SourceTensor> tensors) : bytes_(bytes), tensors_(std::move(tensors)) {
    files_.push_back({"fuzz", "fuzz", bytes.size()});
  }
  std::string_view kind() const override { return "safetensors"; }
  const std::vector<SourceFile>& files() const override { return files_; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SourceAttachment>& attachments() const override { return attachments_; }
  const SourceMetadata& metadata() const override { return metadata_; }
  Status Read(uint32_t, uint64_t offset, std::span<std::byte> out) const override {
    Require(InRange(offset, out.size(), bytes_.size()));
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }

 private:
  ByteSpan bytes_;
  std::vector<SourceTensor> tensors_;
  std::vector<SourceFile> files_;
  std::vector<SourceAttachment> attachments_;
  SourceMetadata metadata_;
};

// All that the blocks add to each plane has the size that the plan gives for it.
void CheckEncoding(const EncodedTensor& tensor) {
  const PartPlan& plan = tensor.plan().parts.front();
  uint64_t codes = 0, operands[kGroupOperands] = {}, nested[kGroupOperands] = {};
  EncodedPart part;
  ReadAhead ahead([](uint32_t, uint64_t, ByteSpan) -> Status { return {}; });
  for (uint64_t block = 0; block < tensor.block_count(); ++block) {
    part.Clear();
    if (!tensor.Prepare(block, ahead)) return;
    if (!tensor.Encode(block, {&part, 1})) return;
    for (const auto& field : part.codes) codes += field.size();
    for (size_t i = 0; i < kGroupOperands; ++i) {
      operands[i] += part.operands[i].array.size();
      nested[i] += part.operands[i].codes.size();
    }
  }
  uint64_t expected = 0, arrays = 0;
  for (const PlaneSpec& spec : PlanesOf(plan.linear, false)) {
    if (spec.role == PlaneRole::kCodes) expected += spec.size;
    if (spec.role == PlaneRole::kScales || spec.role == PlaneRole::kZeroPoints || spec.role == PlaneRole::kOffsets)
      arrays += spec.size;
  }
  Require(codes == expected);
  Require(operands[0] + operands[1] + operands[2] == arrays);
  for (size_t i = 0; i < kGroupOperands; ++i) Require(nested[i] == (plan.nested[i] ? plan.linear.group_count() : 0));
  Require(plan.permutation.size() == (plan.linear.permutation ? plan.linear.cols : 0));
}

void TakeApart(const SourceTensor& tensor) {
  const auto elements = CheckedProduct(tensor.shape);
  Require(elements.has_value());
  if (*elements > kMostElements) return;
  if (!tensor.encoded->plan().parts.empty() && tensor.encoded->obstacle().empty()) CheckEncoding(*tensor.encoded);
  std::vector<float> values(*elements);
  (void)tensor.encoded->Decode(0, *elements, values.data());
  if (*elements > 3) (void)tensor.encoded->Decode(1, *elements - 2, values.data());
}

Config ConfigOf(std::string_view text) {
  auto json = ParseJson(text, "config.json");
  return json && json->is_object() ? Config(std::move(*json), "config.json") : Config();
}

}  // namespace
}  // namespace ingot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  ByteSpan bytes = std::as_bytes(std::span(data, size));
  if (bytes.size() < 4 || Load<uint32_t>(bytes.data()) > bytes.size() - 4) return 0;
  const std::string_view text = AsText(bytes.subspan(4, Load<uint32_t>(bytes.data())));
  bytes = bytes.subspan(4 + text.size());
  auto header = ReadSafetensorsHeader(SourceOf(bytes), "fuzz");
  if (!header) return 0;
  CheckpointConfigs configs;
  configs.config = ConfigOf(text);
  auto source = ImportQuantized(std::make_unique<MemorySource>(bytes, std::move(header->tensors)), std::move(configs));
  if (!source) return 0;
  for (const SourceTensor& tensor : (*source)->tensors()) {
    if (tensor.encoded) TakeApart(tensor);
  }
  return 0;
}

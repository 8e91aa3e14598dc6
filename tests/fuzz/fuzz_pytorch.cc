// Any bytes as a PyTorch checkpoint, zip or legacy: refused, or every element of every tensor lies within the file.
#include "convert/pytorch/pytorch_file.h"
#include "convert/safetensors.h"
#include "format/checked.h"
#include "format/text.h"
#include "tests/fuzz/require.h"

namespace ingot {
namespace {

void CheckTensor(const SourceTensor& tensor, uint64_t file_size) {
  const auto elements = CheckedProduct(tensor.shape);
  const uint64_t size = InfoOf(tensor.dtype).size;
  Require(tensor.shape.size() <= kMaxDimensions && tensor.name.size() <= kMaxTensorName && IsUtf8(tensor.name));
  Require(elements && *elements * size == tensor.size && tensor.offset <= file_size);
  if (tensor.strides.empty()) {
    Require(InRange(tensor.offset, tensor.size, file_size));
    return;
  }
  Require(tensor.strides.size() == tensor.shape.size() && *elements > 0);
  uint64_t last = 0;
  for (size_t i = 0; i < tensor.shape.size(); ++i) last += (tensor.shape[i] - 1) * tensor.strides[i];
  Require(InRange(tensor.offset, (last + 1) * size, file_size));
}

}  // namespace
}  // namespace ingot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  const auto contents = ReadPyTorchFile(SourceOf(std::as_bytes(std::span(data, size))), "fuzz");
  if (!contents) {
    Require(contents.error().code == ErrorCode::kBadInput && contents.error().message.starts_with("fuzz: "));
    return 0;
  }
  const SourceTensor* before = nullptr;
  for (const SourceTensor& tensor : contents->tensors) {
    CheckTensor(tensor, size);
    Require(before == nullptr || before->offset <= tensor.offset);
    before = &tensor;
  }
  for (const auto& [key, value] : contents->metadata) Require(IsUtf8(key) && key.size() <= kMaxTensorName);
  return 0;
}

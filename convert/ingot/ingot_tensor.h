// A tensor of an .ingot file, kept as it is encoded: its records and the bytes of its planes, verified on the way.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "convert/encoded_tensor.h"
#include "runtime/model.h"
#include "runtime/tensor_reader.h"

namespace ingot {

// Opens tensors to decode them, and keeps the last one: its planes are in memory. Thread-safe.
class ReaderCache {
 public:
  explicit ReaderCache(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

  const Model& model() const { return *model_; }
  Result<std::shared_ptr<const TensorReader>> Open(uint32_t number);

 private:
  std::shared_ptr<const Model> model_;
  std::mutex mutex_;
  uint32_t number_ = 0;
  std::shared_ptr<const TensorReader> reader_;
};

// Follows convert/encoded_tensor.h. A block is a chunk; before the first one the rules about the content of planes that
// hold indices are checked.
class IngotTensor final : public EncodedTensor {
 public:
  // Tensor `number` of the model.
  IngotTensor(std::shared_ptr<ReaderCache> readers, uint32_t number);

  std::string description() const override;
  const TensorPlan& plan() const override { return plan_; }
  // A single linear encoding, without a permutation, whose view has the rows of the tensor.
  Result<std::shared_ptr<const EncodedTensor>> SplitColumns(uint32_t count) const override;
  uint64_t block_count() const override { return first_blocks_.back(); }
  Status Encode(uint64_t block, std::span<EncodedPart> parts) const override;
  Status Decode(uint64_t first, uint64_t count, float* out) const override;
  bool is_quantized() const override { return quantized_; }
  Status ReadRaw(uint64_t first, uint64_t count, std::byte* out) const override;

 private:
  const Container& container() const { return readers_->model().container_of(number_); }
  void AddEncoding(uint32_t number, bool nested);
  Status CheckIndexPlanes() const;

  std::shared_ptr<ReaderCache> readers_;
  uint32_t number_;
  bool quantized_ = false;
  TensorPlan plan_;
  std::vector<uint32_t> planes_;        // numbers in the file, in the order of the plan
  std::vector<uint64_t> first_blocks_;  // of each plane, and of what would follow the last one
};

}  // namespace ingot

// Decodes one tensor of a model, in any order of its elements.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "format/status.h"
#include "runtime/model.h"
#include "runtime/tensor_view.h"

namespace ingot {

// A view of a tensor with all of its planes, packed, in private memory and verified: for programs that go through a
// model tensor by tensor and keep none. Immutable after Open; thread-safe.
class TensorReader {
 public:
  // Reads and verifies all planes of tensor `i`, and checks permutation and outlier planes in full. kBadInput: a chunk
  // is damaged, or an index plane breaks a rule; kUnsupported: its encoding is foreign or unknown (named).
  static Result<TensorReader> Open(const Model& model, uint32_t i);

  DType dtype() const { return view_->dtype(); }  // of the source
  const std::vector<uint64_t>& shape() const { return shape_; }
  uint64_t element_count() const { return element_count_; }
  bool is_raw() const { return view_->is_raw(); }  // all parts are raw

  // Elements [first, first + count) in row-major order, as f32: the values of the formula, or those of a raw floating
  // tensor widened (F64 rounded). Integer and other raw tensors are kUnsupported. One thread.
  Status Decode(uint64_t first, uint64_t count, float* out) const;
  // The same elements of a raw tensor as they are stored, dtype by dtype; kUnsupported if it is not raw.
  Status ReadRaw(uint64_t first, uint64_t count, std::byte* out) const;

  using Part = TensorView::Part;
  const std::vector<Part>& parts() const { return view_->parts(); }

 private:
  TensorReader() = default;
  // Calls use(slice, number of elements before it) for the slices that make up a range.
  template <typename Use>
  Status ForSlices(uint64_t first, uint64_t count, Use&& use) const;

  std::shared_ptr<const Container> container_;
  std::unique_ptr<ChunkCache> cache_;
  std::unique_ptr<PlaneStore> store_;
  std::unique_ptr<const TensorView> view_;
  std::vector<uint64_t> shape_;
  uint64_t element_count_ = 0;
};

}  // namespace ingot

// Decodes one tensor of a model, in any order of its elements.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format/status.h"
#include "kernels/matrix.h"
#include "runtime/model.h"

namespace ingot {

// Holds the packed planes of a tensor in private memory, verified. Immutable after Open; thread-safe.
class TensorReader {
 public:
  // Reads and verifies all planes of tensor `i`, and checks permutation and outlier planes in full. kBadInput: a chunk
  // is damaged, or an index plane breaks a rule, or the encoding cannot be decoded (foreign or unknown; named).
  static Result<TensorReader> Open(const Model& model, uint32_t i);

  DType dtype() const { return dtype_; }  // of the source
  const std::vector<uint64_t>& shape() const { return shape_; }
  uint64_t element_count() const { return element_count_; }
  bool is_raw() const { return raw_; }  // all parts are raw

  // Elements [first, first + count) in row-major order, as f32: the values of the formula, or those of a raw floating
  // tensor widened (F64 rounded). Integer and other raw tensors are kBadInput.
  Status Decode(uint64_t first, uint64_t count, float* out) const;
  // The same elements of a raw tensor as they are stored, dtype by dtype; kBadInput if it is not raw.
  Status ReadRaw(uint64_t first, uint64_t count, std::byte* out) const;

  struct Part {
    uint64_t extent = 0;  // along the axis
    bool raw = false;
    EncodedMatrix matrix;                              // if not raw
    std::vector<std::vector<std::byte>> planes;        // own
    std::vector<std::vector<std::byte>> child_planes;  // of all children
    std::vector<std::string> plane_names;
  };
  const std::vector<Part>& parts() const { return parts_; }

 private:
  // Calls use(part, first element in the part, count) for the pieces of a range, in order.
  template <typename Use>
  Status ForPieces(uint64_t first, uint64_t count, Use&& use) const;

  std::string name_;
  DType dtype_ = DType::kF32;
  std::vector<uint64_t> shape_;
  uint64_t element_count_ = 0;
  uint64_t inner_ = 1;  // elements per unit of the axis
  uint64_t axis_size_ = 1;
  bool raw_ = false;
  std::vector<Part> parts_;
};

}  // namespace ingot

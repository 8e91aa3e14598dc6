// Writes the tensors of a model as one dense safetensors file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "convert/packed_tensor.h"
#include "format/dtype.h"
#include "format/status.h"
#include "runtime/model.h"
#include "runtime/output_file.h"
#include "runtime/progress.h"

namespace ingot {

// What a safetensors file is to hold: its header is made before any value is decoded. Immutable; thread-safe.
class SafetensorsPlan {
 public:
  struct Tensor {
    uint32_t number;  // in the model
    DType dtype;      // in the new file
    bool verbatim;    // its bytes are copied, not its values decoded
    uint64_t elements;
    uint64_t offset;  // in the new file
    uint64_t size() const { return elements * InfoOf(dtype).size; }
  };

  // Plans the tensors `numbers` of a model (ascending). Encoded ones become `dtype`, or, if none is given, their
  // source's dtype where that is F32, F16 or BF16, and F32 otherwise. Raw ones keep their dtype; floating ones become
  // `dtype` if one is given. An alias is a tensor like any other: safetensors has none. Errors: kBadInput for an
  // encoding that cannot be decoded, a name that safetensors cannot have, or sizes beyond its limits; each is named.
  // `packed` are written beside them, as they are.
  using PackedList = std::vector<std::shared_ptr<const PackedTensor>>;
  static Result<SafetensorsPlan> Make(const Model& model, const std::vector<uint32_t>& numbers,
                                      std::optional<DType> dtype, PackedList packed = {});

  const std::vector<Tensor>& tensors() const { return tensors_; }  // in the order of the new file
  const PackedList& packed() const { return packed_; }
  uint64_t file_size() const { return file_size_; }

  // Writes the whole file. Blocks of values are decoded in parallel and written in order; no more than a few are in
  // memory beside the planes of the tensors they come from. Packed tensors follow, one after the other. Damage that is
  // met is kBadInput. `progress` counts bytes of the new file.
  Status Write(const Model& model, OutputFile& out, const ProgressFn& progress) const;

 private:
  // Places all tensors after each other, large elements first.
  Status Place(const Model& model);
  // `done` bytes of the file are there already.
  Status WritePacked(const Model& model, OutputFile& out, uint64_t done, const ProgressFn& progress) const;

  std::vector<Tensor> tensors_;
  PackedList packed_;
  std::vector<std::vector<uint64_t>> packed_offsets_;  // of the outputs of packed_, in the new file
  std::string header_;                                 // with its length in front
  uint64_t file_size_ = 0;
};

}  // namespace ingot

// A quantized tensor of a GGUF file: its blocks taken apart into planes, or kept verbatim.
#pragma once

#include <string>

#include "convert/encoded_tensor.h"
#include "convert/gguf/gguf_header.h"
#include "convert/io_bytes.h"
#include "convert/source.h"

namespace ingot {

// Follows convert/encoded_tensor.h. The blocks of kLinear become one part whose view is the tensor's own matrix; those
// of kForeign are one plane. Codes and the codes of scales are those of the file, so that the same blocks can be made
// again, with two exceptions that change no value: bytes of TQ1_0 that no writer makes (13 of 256), and codes of scales
// that the format stores as one constant because they are all equal.
class GgufTensor final : public EncodedTensor {
 public:
  // A tensor with elements, of a type that is neither raw nor refused, in file `file` of `source`.
  GgufTensor(const Source& source, uint32_t file, const GgufTensorInfo& info);

  std::string description() const override;
  const TensorPlan& plan() const override { return plan_; }
  uint64_t block_count() const override;
  Status Encode(uint64_t block, std::span<EncodedPart> parts) const override;
  Status Decode(uint64_t first, uint64_t count, float* out) const override;

 private:
  // Some rows, or some columns of one row.
  struct Piece {
    uint64_t first;  // block of the type, counted from the start of the tensor
    uint64_t rows, cols;
  };
  Piece PieceOf(uint64_t block) const;
  uint64_t BlocksIn(uint64_t elements) const { return elements / type_.block_elements; }
  Status Read(uint64_t first, uint64_t count, IoBytes& blocks) const;
  void EncodeLinear(const Piece& piece, const std::byte* blocks, EncodedPart& part) const;

  const Source& source_;
  const GgufType& type_;
  std::string name_;
  uint32_t file_;
  uint64_t offset_;
  uint64_t rows_, cols_;
  uint64_t piece_rows_, piece_cols_;  // of a piece that is not the last; one of them is a whole axis or 1
  TensorPlan plan_;
};

// What the name of a foreign encoding begins with; ggml's name of the type follows.
inline constexpr std::string_view kGgufForeignPrefix = "ggml.";

}  // namespace ingot

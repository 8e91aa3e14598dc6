// Blocks of a GGUF type from the planes of an encoding.
#pragma once

#include <array>
#include <cstdint>

#include "convert/gguf/gguf_types.h"
#include "kernels/matrix.h"

namespace ingot {

// A view of a matrix, which must outlive it and must be of the type by IsOfGgufType. The blocks are those that the
// matrix was imported from, but for what that import dropped (convert/gguf/gguf_tensor.h). Immutable; thread-safe.
class GgufRepacker {
 public:
  GgufRepacker(const GgufType& type, const EncodedMatrix& matrix);

  // Writes blocks [first, first + count), in the order of the view's elements.
  void Repack(uint64_t first, uint64_t count, std::byte* blocks) const;

 private:
  // Where s or o of the blocks comes from: the same everywhere, or an array, or codes and maybe an array.
  struct Scales {
    const GgufOperand* operand = nullptr;
    uint8_t code = 0;   // where there are no codes
    uint16_t half = 0;  // where there is no array; as in the block
    const EncodedMatrix* codes = nullptr;
    ByteSpan halves;
    const Linear* groups = nullptr;  // of the array
    uint64_t run = 1;                // elements of those groups that a block takes up
  };
  Scales ScalesOf(const GgufOperand& operand, const Operand& form, ByteSpan array, float neutral,
                  const EncodedMatrix* child) const;
  void PutHalves(const Scales& scales, uint64_t first, uint64_t count, std::byte* blocks) const;
  void RepackRun(uint64_t row, uint64_t col, uint64_t cols, std::byte* blocks) const;

  const GgufType& type_;
  const EncodedMatrix& matrix_;
  Scales s_, o_;
};

}  // namespace ingot

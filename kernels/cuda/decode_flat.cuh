// Decodes what most files have, quickly: whole units of 64 columns, whole groups of 32 or a multiple of 64 columns, one
// row after the other, so that rows do not matter any more. A warp takes a tile of up to 64 units; each lane makes the
// operands of one group ready, then all of them pass through the tile and get operands from one another. Every 32-byte
// sector of codes, operands and output is used whole, by one request.
#pragma once

#include "kernels/cuda/decode_params.h"
#include "kernels/cuda/element.cuh"

namespace ingot::cuda {

// ---- ways from codes to 16 bytes of output. Prepare makes a group's operands ready, two words; Make uses them.

// In pairs of f16, where that has the bits of f32: s is an f16, z a small integer, nothing else follows.
struct ByHalves {
  static constexpr bool kPairs = false;
  template <int kBits>
  struct Way {
    INGOT_DEVICE explicit Way(const MatrixView&) {}
    INGOT_DEVICE void Prepare(const GroupValues& g, uint32_t* ready) const {
      ready[0] = F32sAsF16s(g.s, g.s);
      ready[1] = F32sAsF16s(Add(g.z, 1024.0f), Add(g.z, 1024.0f));
    }
    // 0x6400 + q is the f16 1024 + q.
    INGOT_DEVICE Words4 Make(const uint32_t* codes, const uint32_t* ready) const {
      Words4 out;
      INGOT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const uint32_t q = Permute(codes[i / 2], 0x64646464u, i % 2 == 0 ? 0x4140u : 0x4342u);
        out.word[i] = F16sMultiply(F16sSubtract(q, ready[1]), ready[0]);
      }
      return out;
    }
  };
};

}  // namespace ingot::cuda

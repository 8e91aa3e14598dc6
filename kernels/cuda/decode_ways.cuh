// Ways from codes to 16 bytes of output, for DecodeFlat. A way makes the operands of a group ready, kReady words that
// lanes can hand to one another (Prepare), makes what it needs for the two halves of a unit of them (Group), and makes
// values of codes and such a Group. Ways differ in what they are allowed for (kernels/cuda/decode_plan.cc decides) and
// in their instructions, never in the bits that come out.
#pragma once

#include "kernels/cuda/codebook.cuh"
#include "kernels/cuda/codes.cuh"
#include "kernels/cuda/decode_params.h"

namespace ingot::cuda {

// In pairs of f16, where that has the bits of f32: s is an f16 and z an integer from -1024 to 1023, so that q - z is
// exact and the product is rounded once; no operation follows.
struct HalvesOperands {
  static constexpr uint32_t kReady = 2;
  static INGOT_DEVICE void Prepare(const GroupValues& g, uint32_t* ready) {
    const float z = Add(g.z, 1024.0f);
    ready[0] = F32sAsF16s(g.s, g.s);
    ready[1] = F32sAsF16s(z, z);
  }
};
// The f16 with the bits 0x6400 + a is 1024 + a: pairs of these for the low and the high two bytes of a word.
template <int kPair>
INGOT_DEVICE uint32_t BytesAsHalves(uint32_t bytes) {
  return Permute < 0x64646464u, kPair == 0 ? 0x4140u : 0x4342u > (bytes);
}

template <int kBits, class Out>
struct ByHalves : HalvesOperands {
  using Packed = PieceCodes<kBits, Out::kPiece>;
  struct Group {
    uint32_t s[2], z[2];
    INGOT_DEVICE Group(const uint32_t* first, const uint32_t* second)
        : s{first[0], second[0]}, z{first[1], second[1]} {}
  };

  INGOT_DEVICE ByHalves(const DecodeParams&, uint32_t*) {}
  INGOT_DEVICE void Make(const Packed& packed, const Group& g, Words4* out) const {
    ForEach<Packed::kPieces>([&](auto k) {
      constexpr int kHalf = 2 * k >= static_cast<int>(Packed::kPieces);
      ForEach<4>([&](auto i) {
        const uint32_t q = BytesAsHalves<i % 2>(packed.template At<k>(i / 2));
        out[k].word[i] = F16sMultiply(F16sSubtract(q, g.z[kHalf]), g.s[kHalf]);
      });
    });
  }
};

// The same for up to 4 bits, with fewer instructions. Two codes in a byte a = 16 h + l, as 1024 + a, are made
// 1024 + 16 h + z in one operation, of which both l - z and h - z follow in one more. z is from 0 to 15; kWide: to 31.
template <int kBits, class Out, bool kWide>
struct ByNibbles : HalvesOperands {
  using Packed = PieceCodes<kBits, Out::kPiece>;
  struct Group {
    uint32_t s[2], z, high_zero;
    INGOT_DEVICE Group(const uint32_t* first, const uint32_t* second)
        : s{first[0], second[0]}, z(kWide ? first[1] & 0x001F001Fu : first[1]) {
      constexpr uint32_t k1024 = 0x64006400u, kMinusSixteenth = 0xAC00AC00u;
      // -(64 + z / 16 + z'), z' that of the second half: exact, in steps of 1/16.
      high_zero = F16sMultiplyAdd(first[1], kMinusSixteenth, F16sSubtract(k1024, second[1]));
    }
  };

  INGOT_DEVICE ByNibbles(const DecodeParams&, uint32_t*) {}
  INGOT_DEVICE void Make(const Packed& packed, const Group& g, Words4* out) const {
    constexpr uint32_t kSixteenth = 0x2C002C00u;
    constexpr int kPairs = static_cast<int>(Packed::kPieces) / 2;
    ForEach<kPairs>([&](auto k) {
      ForEach<4>([&](auto i) {
        const uint32_t bytes = BytesAsHalves<i % 2>(packed.template Nibbles<k>(i / 2));
        const uint32_t high = kWide ? (bytes & 0xFFF0FFF0u) + g.z : AndOr<0x00F000F0u>(bytes, g.z);
        out[k].word[i] = F16sMultiply(F16sSubtract(bytes, high), g.s[0]);
        out[k + kPairs].word[i] = F16sMultiply(F16sMultiplyAdd(high, kSixteenth, g.high_zero), g.s[1]);
      });
    });
  }
};

// In f32, each operation as it is written; the result type is f32 or the output's. kSimple: there is no o and no t, and
// z is an integer below 2^20.
template <int kBits, class Out, bool kSimple>
struct ByFloats {
  using Packed = PieceCodes<kBits, Out::kPiece>;
  static constexpr uint32_t kReady = kSimple ? 2 : 3;
  struct Group {
    float s[2], z[2], o[2];
    INGOT_DEVICE Group(const uint32_t* first, const uint32_t* second)
        : s{AsFloat(first[0]), AsFloat(second[0])}, z{AsFloat(first[1]), AsFloat(second[1])}, o{} {
      if constexpr (!kSimple) o[0] = AsFloat(first[2]), o[1] = AsFloat(second[2]);
    }
  };

  float t;
  INGOT_DEVICE ByFloats(const DecodeParams& p, uint32_t*)
      : t(p.matrix.t.form == kAbsent ? 1.0f : p.matrix.t.constant) {}
  static INGOT_DEVICE void Prepare(const GroupValues& g, uint32_t* ready) {
    ready[0] = AsBits(g.s);
    ready[1] = AsBits(kSimple ? Add(g.z, 0x1p23f) : g.z);
    if constexpr (!kSimple) ready[2] = AsBits(g.o);
  }
  INGOT_DEVICE void Make(const Packed& packed, const Group& g, Words4* out) const {
    ForEach<Packed::kPieces>([&](auto k) {
      constexpr int kHalf = 2 * k >= static_cast<int>(Packed::kPieces);
      float w[Out::kPiece];
      ForEach<Out::kPiece>([&](auto i) {
        const float q = ByteAndMagic<i % 4>(packed.template At<k>(i / 4));  // 2^23 + q
        if constexpr (kSimple) {
          w[i] = Multiply(g.s[kHalf], Subtract(q, g.z[kHalf]));
        } else {
          const float difference = Subtract(Subtract(q, 0x1p23f), g.z[kHalf]);
          w[i] = Multiply(Subtract(Multiply(g.s[kHalf], difference), g.o[kHalf]), t);
        }
      });
      out[k] = Out::Pack(w);
    });
  }
};

// A codebook's entries in place of the codes, in f32; neither o nor t.
template <int kBits, class Out>
struct ByCodebook : ByFloats<kBits, Out, true> {
  using Base = ByFloats<kBits, Out, true>;
  using typename Base::Group, typename Base::Packed;

  Codebook<kBits> book;
  INGOT_DEVICE ByCodebook(const DecodeParams& p, uint32_t* shared)
      : Base(p, shared), book(p.matrix.root.codebook, shared) {}
  static INGOT_DEVICE void Prepare(const GroupValues& g, uint32_t* ready) {
    ready[0] = AsBits(g.s);
    ready[1] = AsBits(g.z);
  }
  INGOT_DEVICE void Make(const Packed& packed, const Group& g, Words4* out) const {
    ForEach<Packed::kPieces>([&](auto k) {
      constexpr int kHalf = 2 * k >= static_cast<int>(Packed::kPieces);
      float w[Out::kPiece];
      ForEach<Out::kPiece>([&](auto i) {
        const float m = book.At(packed.template At<k>(i / 4) >> (8 * (i % 4)) & 0xFFu);
        w[i] = Multiply(g.s[kHalf], Subtract(m, g.z[kHalf]));
      });
      out[k] = Out::Pack(w);
    });
  }
};

}  // namespace ingot::cuda

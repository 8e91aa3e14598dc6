// From packed codes to what tensor cores multiply, in registers. Of a row and a unit of 64 columns four lanes share, a
// lane makes 16 values, the 8 of columns below 32 first.
#pragma once

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/product_params.h"
#include "kernels/cuda/tensor.cuh"

namespace ingot::cuda {

// ---- what is multiplied, and how

struct F16Math {
  using Sum = float;
  static constexpr Arrangement kArrangement = Arrangement::kF16;
  static constexpr uint32_t kBytes = 2;
  static INGOT_DEVICE void Multiply(float* d, const uint32_t* a, const uint32_t* b) { MultiplyTilesF16(d, a, b); }
  static INGOT_DEVICE void Begin(float* d, const uint32_t* a, const uint32_t* b) { BeginTilesF16(d, a, b); }
  static INGOT_DEVICE uint32_t Narrow(float a, float b) { return F32sAsF16s(a, b); }
};
struct BF16Math {
  using Sum = float;
  static constexpr Arrangement kArrangement = Arrangement::kBF16;
  static constexpr uint32_t kBytes = 2;
  static INGOT_DEVICE void Multiply(float* d, const uint32_t* a, const uint32_t* b) { MultiplyTilesBF16(d, a, b); }
  static INGOT_DEVICE uint32_t Narrow(float a, float b) { return F32sAsBF16s(a, b); }
};
struct Int8Math {
  using Sum = int32_t;
  static constexpr Arrangement kArrangement = Arrangement::kInt8;
  static constexpr uint32_t kBytes = 1;
  static INGOT_DEVICE void Multiply(int32_t* d, const uint32_t* a, const uint32_t* b) { MultiplyTilesInt8(d, a, b); }
};

// ---- codes of a lane, from a stage in shared memory

// The planes of a stage lie one after the other: [piece][row of the block][16 or 32 bytes]; a piece is a unit of a
// field, or two of 1 bit; a unit of 8 bits is two pieces, one of raw elements of 16 bits four. So the eight rows that a
// warp reads at once lie side by side.
template <int kBits>
struct StagedCodes {
  static constexpr uint32_t kWidth = kBits == 3 ? 2 : kBits;  // of the low field
  static constexpr bool kHighField = kBits == 3;
  static constexpr uint32_t kPieceBytes = kWidth == 2 ? 16 : 32;
  static constexpr uint32_t kWords = kBits == 16 ? 8 : kBits == 8 ? 4 : 2;

  static INGOT_DEVICE constexpr uint32_t LowBytes(uint32_t units) { return kBlockRows * 8 * kWidth * units; }
  static INGOT_DEVICE constexpr uint32_t Bytes(uint32_t units) {
    return LowBytes(units) + (kHighField ? kBlockRows * 8 * units : 0);
  }

  uint32_t low, high;    // where the lane's bytes of a row begin in each field
  uint32_t left, right;  // how its bits of the high field are moved

  INGOT_DEVICE StagedCodes(uint32_t row, uint32_t lane_of_row)
      : low(Keep(row * kPieceBytes + lane_of_row * (kPieceBytes / 4))),
        high(Keep(row * 16 + lane_of_row % 2 * 4)),
        left(Keep(2 - lane_of_row / 2)),
        right(Keep(lane_of_row / 2)) {}

  // Words of codes: raw elements in pairs, of columns 4 lane to 4 lane + 3 of each 16; one a byte for 8 bits; else two
  // a byte, the high one 32 columns further on (up to 4 bits, what is above a narrower code is undefined).
  // Those of a row kFurther rows after the lane's.
  template <uint32_t kUnits, uint32_t kFurther>
  INGOT_DEVICE void Load(const uint8_t* stage, uint32_t unit, uint32_t* words) const {
    if constexpr (kBits == 4 || kBits == 8 || kBits == 16) {
      INGOT_UNROLL
      for (uint32_t i = 0; i < kBits / 4; ++i) {
        const uint32_t piece = unit * (kBits / 4) + i;
        const Words2 w =
            LoadShared(reinterpret_cast<const Words2*>(stage + low + (piece * kBlockRows + kFurther) * 32));
        words[2 * i] = w.word[0], words[2 * i + 1] = w.word[1];
      }
    } else {
      const uint8_t* const at = stage + low + (unit * kBlockRows + kFurther) * 16;
      const uint32_t two = LoadShared(reinterpret_cast<const uint32_t*>(at));
      words[0] = two, words[1] = two >> 2;
      if constexpr (kBits == 3) {
        const uint32_t further = (unit / 2 * kBlockRows + kFurther) * 16 + 8 * (unit % 2);
        const uint32_t one = LoadShared(reinterpret_cast<const uint32_t*>(stage + high + LowBytes(kUnits) + further));
        words[0] = Select<0x33333333u>(two, one << left);
        words[1] = Select<0x33333333u>(two >> 2, one >> right);
      }
    }
  }
};

// ---- from words of codes to values: Make<Math> for registers[8] (bytes: [4]), halves of a unit one after the other.
// A value of the second half is kHighScale times too large, all of them the code less Centre times Unit.

template <int kBits>
struct CodesAsF16 {
  static constexpr uint32_t kTableBytes = 0;
  static constexpr bool kCrossed = kBits < 8;
  // An f16 whose bits are a code is the code * 2^-24, exactly; one step up, 4 bits higher, 16 times that.
  static constexpr float kHighScale = kBits < 8 ? 0.0625f : 1.0f;
  static constexpr float kCentre = 0.0f;
  INGOT_DEVICE CodesAsF16(const MatrixView&, uint32_t*) {}
  INGOT_DEVICE float Unit() const { return 16777216.0f; }

  INGOT_DEVICE void Make(const uint32_t* words, uint32_t* registers) const {
    if constexpr (kBits == 8) {
      INGOT_UNROLL
      for (int w = 0; w < 4; ++w)
        registers[2 * w] = PermuteWords(words[w], 0, 0x4140u),
                      registers[2 * w + 1] = PermuteWords(words[w], 0, 0x4342u);
    } else {
      constexpr uint32_t kMask = ((1u << kBits) - 1) * 0x00010001u;
      INGOT_UNROLL
      for (int w = 0; w < 2; ++w) {
        const uint32_t odd = words[w] >> 8;
        registers[2 * w] = words[w] & kMask, registers[2 * w + 1] = odd & kMask;
        registers[4 + 2 * w] = words[w] & (kMask << 4), registers[4 + 2 * w + 1] = odd & (kMask << 4);
      }
    }
  }
};

// Raw elements of the type of the activations.
struct RawElements {
  static constexpr uint32_t kTableBytes = 0;
  static constexpr bool kCrossed = false;
  static constexpr float kHighScale = 1.0f, kCentre = 0.0f;
  INGOT_DEVICE RawElements(const MatrixView&, uint32_t*) {}
  INGOT_DEVICE float Unit() const { return 1.0f; }

  INGOT_DEVICE void Make(const uint32_t* words, uint32_t* registers) const {
    INGOT_UNROLL
    for (int i = 0; i < 8; ++i) registers[i] = words[i];
  }
};

template <int kBits>
struct CodesAsBF16 {
  static constexpr uint32_t kTableBytes = 0;
  static constexpr bool kCrossed = kBits < 8;
  static constexpr float kHighScale = 1.0f;
  static constexpr float kCentre = static_cast<float>(1 << (kBits - 1));
  INGOT_DEVICE CodesAsBF16(const MatrixView&, uint32_t*) {}
  INGOT_DEVICE float Unit() const { return 1.0f; }

  INGOT_DEVICE void Make(const uint32_t* words, uint32_t* registers) const {
    if constexpr (kBits == 8) {
      INGOT_UNROLL
      for (int i = 0; i < 8; ++i) {  // 0x4B000000 + q is the f32 2^23 + q
        const uint32_t select = 0x7440u + 2 * (i % 2);
        const float a = AsFloat(PermuteWords(words[i / 2], 0x4B000000u, select));
        const float b = AsFloat(PermuteWords(words[i / 2], 0x4B000000u, select + 1));
        registers[i] = PermuteWords(AsBits(Subtract(a, 8388736.0f)), AsBits(Subtract(b, 8388736.0f)), 0x7632u);
      }
    } else {
      constexpr uint32_t kMask = ((1u << kBits) - 1) * 0x00010001u;
      constexpr uint32_t kMinus = (0xC300u + (1u << (kBits - 1))) * 0x00010001u;  // -(128 + centre)
      INGOT_UNROLL
      for (int i = 0; i < 8; ++i) {  // 0x4300 + q is the bf16 128 + q
        const uint32_t moved = words[i / 2 % 2] >> (8 * (i % 2) + 4 * (i / 4));
        registers[i] = BF16sMultiplyAdd(MaskedWith<kMask, 0x43004300u>(moved), 0x3F803F80u, kMinus);
      }
    }
  }
};

template <int kBits>
struct CodesAsBytes {
  static constexpr uint32_t kTableBytes = 0;
  static constexpr bool kCrossed = false;
  static constexpr float kHighScale = 1.0f, kCentre = 0.0f;
  INGOT_DEVICE CodesAsBytes(const MatrixView&, uint32_t*) {}
  INGOT_DEVICE float Unit() const { return 1.0f; }

  INGOT_DEVICE void Make(const uint32_t* words, uint32_t* registers) const {
    constexpr uint32_t kMask = ((1u << kBits) - 1) * 0x01010101u;
    INGOT_UNROLL
    for (int i = 0; i < 4; ++i) registers[i] = kBits == 8 ? words[i] : words[i % 2] >> (4 * (i / 2)) & kMask;
  }
};

// By a table in shared memory, a copy for each lane: of two codes of up to 4 bits, or one of 8, entries divided by a
// power of two so that none overflows, rounded to the type of the activations.
template <class Math, int kBits>
struct CodesByTable {
  static constexpr uint32_t kTableBytes = 256 * kWarp * 4;
  static constexpr bool kCrossed = kBits < 8;
  static constexpr float kHighScale = 1.0f, kCentre = 0.0f;
  const uint32_t* table;
  float unit;

  // By all threads of the block; a barrier has to follow.
  INGOT_DEVICE CodesByTable(const MatrixView& m, uint32_t* shared) : table(shared + ThreadIndex() % kWarp) {
    constexpr uint32_t kEntries = 1u << kBits;
    const uint32_t lane = ThreadIndex() % kWarp;
    uint32_t most = 0;
    for (uint32_t i = lane; i < kEntries; i += kWarp) {
      const uint32_t magnitude = LoadGlobal<uint32_t>(Bytes(m.root.codebook, 4 * i)) & 0x7FFFFFFFu;
      most = magnitude > most && magnitude < 0x7F800000u ? magnitude : most;
    }
    INGOT_UNROLL
    for (uint32_t distance = 16; distance > 0; distance /= 2) {
      const uint32_t other = ShuffleXor(most, distance);
      most = other > most ? other : most;
    }
    // Between 2^-100 and 2^100, so that it has a reciprocal.
    uint32_t exponent = most >> 23;
    exponent = exponent < 27 ? 27 : exponent > 227 ? 227 : exponent;
    unit = AsFloat(exponent << 23);
    const float reciprocal = AsFloat((254 - exponent) << 23);
    const auto entry = [&](uint32_t code) {
      return Multiply(LoadFloat(m.root.codebook, kF32, code & (kEntries - 1)), reciprocal);
    };
    for (uint32_t i = ThreadIndex() / kWarp; i < 256; i += BlockSize() / kWarp)
      StoreShared(shared + i * kWarp + lane, Math::Narrow(entry(i), kBits == 8 ? 0.0f : entry(i >> 4)));
  }
  INGOT_DEVICE float Unit() const { return unit; }

  INGOT_DEVICE void Make(const uint32_t* words, uint32_t* registers) const {
    INGOT_UNROLL
    for (int w = 0; w < (kBits == 8 ? 4 : 2); ++w) {
      uint32_t entries[4];
      INGOT_UNROLL
      for (int i = 0; i < 4; ++i) entries[i] = LoadShared(table + (words[w] >> (8 * i) & 0xFFu) * kWarp);
      if constexpr (kBits == 8) {
        registers[2 * w] = PermuteWords(entries[0], entries[1], 0x5410u);
        registers[2 * w + 1] = PermuteWords(entries[2], entries[3], 0x5410u);
      } else {
        INGOT_UNROLL
        for (int i = 0; i < 2; ++i) {
          registers[2 * w + i] = PermuteWords(entries[i], entries[i + 2], 0x5410u);
          registers[4 + 2 * w + i] = PermuteWords(entries[i], entries[i + 2], 0x7632u);
        }
      }
    }
  }
};

template <class Math, int kBits, bool kBook>
struct WayOf {
  using Way = CodesByTable<Math, kBits>;
};
template <int kBits>
struct WayOf<F16Math, kBits, false> {
  using Way = CodesAsF16<kBits>;
};
template <>
struct WayOf<F16Math, 16, false> {
  using Way = RawElements;
};
template <>
struct WayOf<BF16Math, 16, false> {
  using Way = RawElements;
};
template <int kBits>
struct WayOf<BF16Math, kBits, false> {
  using Way = CodesAsBF16<kBits>;
};
template <int kBits>
struct WayOf<Int8Math, kBits, false> {
  using Way = CodesAsBytes<kBits>;
};

}  // namespace ingot::cuda

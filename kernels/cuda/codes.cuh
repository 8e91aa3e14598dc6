// Codes as they are packed (spec/ENCODINGS.md, section 3): a thread loads some bytes of each field of a unit of 64
// columns, and has the codes of several stretches of its columns.
#pragma once

#include "kernels/cuda/element.cuh"

namespace ingot::cuda {

// A piece: kPiece columns, 4 or 8, from a multiple of kPiece on. One load of each field gives a thread kPieces pieces:
// piece, piece + kLanes, piece + 2 kLanes, ... of a unit, where kLanes threads share one.
template <int kBits, uint32_t kPiece>
struct PieceCodes {
  static constexpr int kFields = (kBits & 1) + (kBits >> 1 & 1) + (kBits >> 2 & 1) + (kBits >> 3 & 1);
  static constexpr uint32_t kLowWidth = kBits == 8 ? 8 : kBits >= 4 ? 4 : kBits >= 2 ? 2 : 1;
  static constexpr uint32_t kEighths = kLowWidth == 1 ? 2 : kLowWidth;  // of the columns: what one load tells apart
  static constexpr uint32_t kLanes = kEighths * 8 / kPiece;
  static constexpr uint32_t kPieces = 8 / kEighths;
  static constexpr uint32_t kWords = kPiece / 4;

  uint32_t field[kFields][kWords] = {};  // moved so that piece + k kLanes is kEighths k bits further up

  // The fields are the binary digits of kBits, from the highest: their widths, and how far up they are in a code.
  static INGOT_DEVICE constexpr uint32_t Width(int f) {
    uint32_t width = 8;
    for (int left = f;; width /= 2) {
      if ((static_cast<uint32_t>(kBits) & width) != 0 && left-- == 0) return width;
    }
  }
  static INGOT_DEVICE constexpr int Low(int f) { return f == 0 ? 0 : static_cast<int>(Width(f - 1)) + Low(f - 1); }
  // Pieces of a unit with bytes of their own; those beyond are further up in the same bytes.
  static INGOT_DEVICE constexpr uint32_t Across(int f) { return 8 * Width(f) / kPiece; }

  // Where the fields of `piece` (below kLanes, or any if only At(0) is asked for) of unit `unit` are.
  static INGOT_DEVICE void Find(const void* const* codes, uint64_t unit, uint32_t piece, const uint8_t** at) {
    ForEach<kFields>([&](auto f) { at[f] = Bytes(codes[f], unit * 8 * Width(f) + kPiece * (piece % Across(f))); });
  }
  static INGOT_DEVICE void Advance(const uint8_t** at, uint32_t units) {
    ForEach<kFields>([&](auto f) { at[f] += 8 * Width(f) * units; });
  }
  // Loads them, kUnits units further on.
  template <int kUnits>
  INGOT_DEVICE void Load(const uint8_t* const* at, uint32_t piece) {
    ForEach<kFields>([&](auto f) {
      constexpr int kOffset = 8 * static_cast<int>(Width(f)) * kUnits;
      const uint32_t shift = Width(f) * (piece / Across(f));
      if constexpr (kPiece == 8) {
        const Words2 w = LoadOnce<Words2, kOffset>(at[f]);
        field[f][0] = w.word[0] >> shift, field[f][1] = w.word[1] >> shift;
      } else {
        field[f][0] = LoadOnce<uint32_t, kOffset>(at[f]) >> shift;
      }
    });
  }

  // Word `word` of the codes of piece + k kLanes, one a byte.
  template <int k>
  INGOT_DEVICE uint32_t At(int word) const {
    return Gather<static_cast<int>(kEighths) * k, 0x01010101u, 0>(word);
  }
  // Of up to 4 bits: those of piece + k kLanes in the low half of each byte, of piece + (k + kPieces / 2) kLanes above.
  template <int k>
  INGOT_DEVICE uint32_t Nibbles(int word) const {
    if constexpr (kBits == 4) return field[0][word];
    return Gather<static_cast<int>(kEighths) * k, 0x11111111u, 0>(word);
  }

 private:
  // The codes that begin at bit kShift of what the ones of kEach are the lowest bits of.
  template <int kShift, uint32_t kEach, int kField>
  INGOT_DEVICE uint32_t Gather(int word) const {
    constexpr int kRight = kShift - Low(kField);
    constexpr uint32_t kMask = ((1u << Width(kField)) - 1) * kEach << Low(kField);
    const uint32_t x = field[kField][word];
    uint32_t moved = x;
    if constexpr (kRight > 0) moved = x >> kRight;
    if constexpr (kRight < 0) moved = x << -kRight;
    if constexpr (kField + 1 == kFields) return kBits == 8 ? moved : moved & kMask;
    if constexpr (kField + 1 < kFields) return AndOr<kMask>(moved, Gather<kShift, kEach, kField + 1>(word));
  }
};

}  // namespace ingot::cuda

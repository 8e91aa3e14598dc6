// Decodes raw matrices: a thread makes 16 bytes of output at a time, of elements that it loads at once where they are
// aligned.
#pragma once

#include "kernels/cuda/decode_pieces.cuh"
#include "kernels/cuda/raw.cuh"

namespace ingot::cuda {

// kBytes from a multiple of them, or of 16.
template <uint32_t kBytes>
INGOT_DEVICE void LoadWords(const uint8_t* at, uint32_t* words) {
  if constexpr (kBytes == 4) words[0] = LoadGlobal<uint32_t>(at);
  if constexpr (kBytes == 8) {
    const Words2 w = LoadGlobal<Words2>(at);
    words[0] = w.word[0], words[1] = w.word[1];
  }
  if constexpr (kBytes >= 16) {
    INGOT_UNROLL
    for (uint32_t i = 0; i < kBytes / 4; i += 4) {
      const Words4 w = LoadGlobal<Words4>(at + 4 * i);
      words[i] = w.word[0], words[i + 1] = w.word[1], words[i + 2] = w.word[2], words[i + 3] = w.word[3];
    }
  }
}

// A piece of which every column is in the slice and whose elements are aligned; of elements that are what is asked for,
// those of the output, too. Such are copied, bit for bit.
template <Type kType, class Out>
INGOT_DEVICE void DecodeRawPiece(const DecodeParams& p, const Piece& piece, const uint8_t* from) {
  constexpr uint32_t kSize = Raw<kType>::kSize, kBytes = kSize * Out::kPiece;
  uint32_t words[kBytes / 4];
  LoadWords<kBytes>(from, words);
  if constexpr (kType == Out::kType) {
    StoreWords<0>(PlaceOf<Out>(p, piece.row, piece.column), {{words[0], words[1], words[2], words[3]}});
  } else {
    float w[Out::kPiece];
    INGOT_UNROLL
    for (uint32_t i = 0; i < Out::kPiece; ++i) {
      uint32_t low = words[i * kSize / 4], high = 0;
      if constexpr (kSize == 8) high = words[2 * i + 1];
      if constexpr (kSize == 2) low = low >> (16 * (i % 2)) & 0xFFFFu;
      if constexpr (kSize == 1) low = low >> (8 * (i % 4)) & 0xFFu;
      w[i] = Raw<kType>::template Widen<Out::kType != kF32>(low, high);
    }
    StorePiece<Out>(p, piece, w);
  }
}

template <Type kType, class Out>
INGOT_KERNEL(kDecodeThreads, 4)
DecodeRaw(const DecodeParams p) {
  using Element = typename Out::Element;
  constexpr bool kCopies = kType == Out::kType;
  constexpr uint32_t kSize = Raw<kType>::kSize, kBytes = kSize * Out::kPiece, kAligned = kBytes < 16 ? kBytes : 16;
  const uint64_t pieces = p.slice.rows * p.row_pieces.divisor, step = static_cast<uint64_t>(GridSize()) * BlockSize();
  for (uint64_t at = static_cast<uint64_t>(BlockIndex()) * BlockSize() + ThreadIndex(); at < pieces; at += step) {
    const Piece piece = PieceOf<Out::kPiece>(p, at);
    const uint8_t* const from = Bytes(p.matrix.root.codes[0], (piece.row * p.matrix.raw_stride + piece.column) * kSize);
    const bool whole = piece.begin == 0 && piece.end == Out::kPiece;
    const uintptr_t to = kCopies ? reinterpret_cast<uintptr_t>(PlaceOf<Out>(p, piece.row, piece.column)) : 0;
    if (whole && (reinterpret_cast<uintptr_t>(from) | to) % kAligned == 0) {
      DecodeRawPiece<kType, Out>(p, piece, from);
      continue;
    }
    for (uint32_t i = piece.begin; i < piece.end; ++i) {
      Element* const at_column = PlaceOf<Out>(p, piece.row, piece.column + i);
      if constexpr (kCopies) {
        StoreGlobal(at_column, LoadGlobal<Element>(from + i * kSize));
      } else {
        StoreGlobal(at_column, Out::Narrow(Raw<kType>::template Load<Out::kType != kF32>(from + i * kSize)));
      }
    }
  }
}

}  // namespace ingot::cuda

// Decodes any encoding, any slice: a thread makes 16 bytes of output at a time. What is in a row of codes is read in
// pieces of up to 256 bytes a warp; with a permutation, byte by byte.
#pragma once

#include "kernels/cuda/codebook.cuh"
#include "kernels/cuda/codes.cuh"
#include "kernels/cuda/decode_pieces.cuh"

namespace ingot::cuda {

// m(q) of its stored columns, which also go to stored[] if there is a permutation.
template <int kBits, uint32_t kPiece>
INGOT_DEVICE void PieceEntries(const MatrixView& m, const Piece& piece, const Codebook<kBits>& book, uint32_t* stored,
                               float* w) {
  uint32_t codes[kPiece];
  if (m.stored_column != nullptr) {
    INGOT_UNROLL
    for (uint32_t i = 0; i < kPiece; ++i) {
      stored[i] = LoadGlobal<uint32_t>(Bytes(m.stored_column, 4 * piece.At(i)));
      codes[i] = CodeAt(m.root, piece.row * m.row_units, stored[i]);
    }
  } else {
    using Packed = PieceCodes<kBits, kPiece>;
    const auto in_unit = static_cast<uint32_t>(piece.column % 64) / kPiece;
    const uint8_t* at[Packed::kFields];
    Packed::Find(m.root.codes, piece.row * m.row_units + piece.column / 64, in_unit, at);
    Packed packed;
    packed.template Load<0>(at, in_unit);
    INGOT_UNROLL
    for (uint32_t i = 0; i < kPiece; ++i)
      codes[i] = packed.template At<0>(static_cast<int>(i / 4)) >> (8 * (i % 4)) & 0xFFu;
  }
  INGOT_UNROLL
  for (uint32_t i = 0; i < kPiece; ++i) w[i] = book.present ? book.At(codes[i]) : static_cast<float>(codes[i]);
}

// The operations with s, z, o and t, and the rounding to the result type. Operands are fetched once a group.
template <uint32_t kPiece>
INGOT_DEVICE void PieceValues(const MatrixView& m, const Piece& piece, const uint32_t* stored, float* w) {
  const uint64_t first_group = Divide(piece.row, m.root.group_rows) * m.root.groups_across;
  uint64_t groups[kPiece];
  INGOT_UNROLL
  for (uint32_t i = 0; i < kPiece; ++i) {
    const uint64_t column = m.stored_column != nullptr ? stored[i] : piece.At(i);
    groups[i] = first_group + Divide(column, m.root.group_columns);
  }
  for (uint32_t left = (1u << kPiece) - 1; left != 0;) {
    uint64_t group = 0;
    INGOT_UNROLL
    for (uint32_t i = kPiece; i-- > 0;) group = (left >> i & 1u) != 0 ? groups[i] : group;
    const GroupValues g = GroupOperands(m, group);
    INGOT_UNROLL
    for (uint32_t i = 0; i < kPiece; ++i) {
      if (groups[i] != group) continue;
      w[i] = Grouped(m.root, g, w[i]);
      left &= ~(1u << i);
    }
  }
  INGOT_UNROLL
  for (uint32_t i = 0; i < kPiece; ++i) w[i] = RoundTo(m.result, ColumnScaled(m, piece.At(i), w[i]));
}

template <int kBits, class Out>
INGOT_KERNEL(kDecodeThreads, 2)
DecodeAny(const DecodeParams p) {
  INGOT_DYNAMIC_SHARED(uint32_t, shared);
  const Codebook<kBits> book(p.matrix.root.codebook, shared);
  constexpr uint32_t kPiece = Out::kPiece;
  const uint64_t pieces = p.slice.rows * p.row_pieces.divisor, step = static_cast<uint64_t>(GridSize()) * BlockSize();
  const uint32_t lane = ThreadIndex() % kWarp;
  // All lanes stay as long as one of them has work: they look codes up in each other's registers.
  for (uint64_t at = static_cast<uint64_t>(BlockIndex()) * BlockSize() + ThreadIndex(); at - lane < pieces;
       at += step) {
    const Piece piece = PieceOf<kPiece>(p, at < pieces ? at : pieces - 1);
    uint32_t stored[kPiece];
    float w[kPiece];
    PieceEntries<kBits, kPiece>(p.matrix, piece, book, stored, w);
    PieceValues<kPiece>(p.matrix, piece, stored, w);
    if (at < pieces) StorePiece<Out>(p, piece, w);
  }
}

}  // namespace ingot::cuda

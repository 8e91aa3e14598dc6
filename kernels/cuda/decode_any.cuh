// Decodes any encoding, any range: a thread makes 16 bytes of output at a time. What is in a row of codes is read in
// pieces of up to 256 bytes a warp; with a permutation, byte by byte.
#pragma once

#include "kernels/cuda/codebook.cuh"
#include "kernels/cuda/codes.cuh"
#include "kernels/cuda/decode_params.h"

namespace ingot::cuda {

// The piece of output that a thread makes: columns [column, column + kPiece) of a row, of which `count` are there.
struct Piece {
  uint64_t row, column;
  uint32_t count;
};

// m(q) of its stored columns, which also go to stored[] if there is a permutation.
template <int kBits, uint32_t kPiece>
INGOT_DEVICE void PieceEntries(const MatrixView& m, const Piece& piece, const Codebook<kBits>& book, uint32_t* stored,
                               float* w) {
  uint32_t codes[kPiece];
  if (m.stored_column != nullptr) {
    INGOT_UNROLL
    for (uint32_t i = 0; i < kPiece; ++i) {
      const uint64_t column = piece.column + (i < piece.count ? i : 0);
      stored[i] = LoadGlobal<uint32_t>(Bytes(m.stored_column, 4 * column));
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
    const uint64_t column = m.stored_column != nullptr ? stored[i] : piece.column + (i < piece.count ? i : 0);
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
  for (uint32_t i = 0; i < kPiece; ++i)
    w[i] = RoundTo(m.result, ColumnScaled(m, piece.column + (i < piece.count ? i : 0), w[i]));
}

template <class Out>
INGOT_DEVICE void StorePiece(const DecodeParams& p, const Piece& piece, const float* w) {
  const uint64_t index = piece.row * p.matrix.columns + piece.column;
  auto* const out = static_cast<typename Out::Element*>(p.out);
  const bool whole = index >= p.first && index + Out::kPiece <= p.end && piece.count == Out::kPiece;
  if (whole && reinterpret_cast<uintptr_t>(out + (index - p.first)) % 16 == 0) {
    StoreWords<0>(out + (index - p.first), Out::Pack(w));
    return;
  }
  INGOT_UNROLL
  for (uint32_t i = 0; i < Out::kPiece; ++i) {
    if (i < piece.count && index + i >= p.first && index + i < p.end)
      StoreGlobal(out + (index + i - p.first), Out::Narrow(w[i]));
  }
}

template <int kBits, class Out>
INGOT_KERNEL(kDecodeThreads, 2)
DecodeAny(const DecodeParams p) {
  INGOT_DYNAMIC_SHARED(uint32_t, shared);
  const Codebook<kBits> book(p.matrix.root.codebook, shared);
  const MatrixView& m = p.matrix;
  constexpr uint32_t kPiece = Out::kPiece;
  const auto piece_of = [&](uint64_t element) {
    const uint64_t row = Divide(element, m.root.columns);
    return row * p.row_pieces.divisor + (element - row * m.columns) / kPiece;
  };
  const uint64_t last = piece_of(p.end - 1), step = static_cast<uint64_t>(GridSize()) * BlockSize();
  const uint32_t lane = ThreadIndex() % kWarp;
  // All lanes stay as long as one of them has work: they look codes up in each other's registers.
  for (uint64_t at = piece_of(p.first) + static_cast<uint64_t>(BlockIndex()) * BlockSize() + ThreadIndex();
       at - lane <= last; at += step) {
    const uint64_t number = at <= last ? at : last, row = Divide(number, p.row_pieces);
    const uint64_t column = (number - row * p.row_pieces.divisor) * kPiece, left = m.columns - column;
    const Piece piece = {row, column, left < kPiece ? static_cast<uint32_t>(left) : kPiece};
    uint32_t stored[kPiece];
    float w[kPiece];
    PieceEntries<kBits, kPiece>(m, piece, book, stored, w);
    PieceValues<kPiece>(m, piece, stored, w);
    if (at <= last) StorePiece<Out>(p, piece, w);
  }
}

}  // namespace ingot::cuda

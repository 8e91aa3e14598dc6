// Decodes any encoding, any range: a thread makes 16 bytes of output at a time. What is in a row of codes is read in
// pieces of up to 256 bytes a warp; with a permutation, byte by byte.
#pragma once

#include "kernels/cuda/decode_params.h"
#include "kernels/cuda/element.cuh"

namespace ingot::cuda {

// m(q) for the codes of a warp: a codebook of up to 32 entries lies in its registers, a larger one in shared memory, a
// copy for each lane, so that no two lanes ever wait for a bank.
template <int kBits>
struct Codebook {
  static constexpr uint32_t kEntries = 1u << kBits;
  static constexpr bool kInShared = kBits > 5;
  static constexpr uint32_t kSharedBytes = kInShared ? kEntries * kWarp * 4 : 0;

  bool present;
  uint32_t entry;
  uint32_t* table;

  // By all threads of the block.
  INGOT_DEVICE Codebook(const void* codebook, uint32_t* shared)
      : present(codebook != nullptr), entry(0), table(shared) {
    if (!present) return;
    const uint32_t lane = ThreadIndex() % kWarp;
    if constexpr (kInShared) {
      for (uint32_t i = ThreadIndex() / kWarp; i < kEntries; i += BlockSize() / kWarp)
        StoreShared(table + i * kWarp + lane, LoadGlobal<uint32_t>(Bytes(codebook, 4 * i)));
      BlockBarrier();
    } else {
      entry = LoadGlobal<uint32_t>(Bytes(codebook, 4 * (lane % kEntries)));
    }
  }
  // By all lanes of the warp.
  INGOT_DEVICE float At(uint32_t code) const {
    if constexpr (kInShared) return AsFloat(LoadShared(table + code * kWarp + ThreadIndex() % kWarp));
    return AsFloat(Shuffle(entry, code));
  }
};

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
    PieceCodes<kBits, kPiece> packed;
    packed.template Load<false>(m.root.codes, piece.row * m.row_units + piece.column / 64,
                                static_cast<uint32_t>(piece.column % 64) / kPiece);
    INGOT_UNROLL
    for (uint32_t i = 0; i < kPiece; ++i) codes[i] = packed.At(0, i / 4) >> (8 * (i % 4)) & 0xFFu;
  }
  INGOT_UNROLL
  for (uint32_t i = 0; i < kPiece; ++i) w[i] = book.present ? book.At(codes[i]) : static_cast<float>(codes[i]);
}

// The operations with s, z, o and t, and the rounding to the result type.
template <uint32_t kPiece>
INGOT_DEVICE void PieceValues(const MatrixView& m, const Piece& piece, const uint32_t* stored, float* w) {
  const uint64_t first_group = Divide(piece.row, m.root.group_rows) * m.root.groups_across;
  uint64_t group = ~uint64_t{0};
  GroupValues g = {};
  INGOT_UNROLL
  for (uint32_t i = 0; i < kPiece; ++i) {
    const uint64_t column = piece.column + (i < piece.count ? i : 0);
    const uint64_t of = first_group + Divide(m.stored_column != nullptr ? stored[i] : column, m.root.group_columns);
    if (of != group) g = GroupOperands(m, of);
    group = of;
    w[i] = RoundTo(m.result, ColumnScaled(m, column, Grouped(m.root, g, w[i])));
  }
}

template <class Out>
INGOT_DEVICE void StorePiece(const DecodeParams& p, const Piece& piece, const float* w) {
  const uint64_t index = piece.row * p.matrix.columns + piece.column;
  auto* out = static_cast<typename Out::Element*>(p.out) + (index - p.first);
  const bool whole = index >= p.first && index + Out::kPiece <= p.end && piece.count == Out::kPiece;
  if (whole && reinterpret_cast<uintptr_t>(out) % 16 == 0) {
    StoreGlobal(out, Out::Pack(w));
    return;
  }
  INGOT_UNROLL
  for (uint32_t i = 0; i < Out::kPiece; ++i) {
    if (i < piece.count && index + i >= p.first && index + i < p.end) StoreGlobal(out + i, Out::Narrow(w[i]));
  }
}

template <int kBits, class Out>
INGOT_KERNEL(kDecodeThreads)
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

// How slices are cut into pieces of 16 bytes of output, one for a thread at a time, wherever they begin and end.
#pragma once

#include "kernels/cuda/decode_params.h"
#include "kernels/cuda/element.cuh"

namespace ingot::cuda {

// Columns [column, column + kPiece) of a row, of which those from `begin` to below `end` are in the slice.
struct Piece {
  uint64_t row, column;
  uint32_t begin, end;

  INGOT_DEVICE bool Has(uint32_t i) const { return i >= begin && i < end; }
  // A column of the slice: number i, or the first one where that is none.
  INGOT_DEVICE uint64_t At(uint32_t i) const { return column + (Has(i) ? i : begin); }
};

template <uint32_t kPiece>
INGOT_DEVICE Piece PieceOf(const DecodeParams& p, uint64_t number) {
  const uint64_t row = Divide(number, p.row_pieces);
  const uint64_t column = (p.slice.column / kPiece + number - row * p.row_pieces.divisor) * kPiece,
                 end = p.slice.column + p.slice.columns;
  Piece piece = {p.slice.row + row, column, 0, kPiece};
  if (column < p.slice.column) piece.begin = static_cast<uint32_t>(p.slice.column - column);
  if (end - column < kPiece) piece.end = static_cast<uint32_t>(end - column);
  return piece;
}

template <class Out>
INGOT_DEVICE typename Out::Element* PlaceOf(const DecodeParams& p, uint64_t row, uint64_t column) {
  const uint64_t offset = (row - p.slice.row) * p.stride + column - p.slice.column;
  return static_cast<typename Out::Element*>(p.out) + static_cast<int64_t>(offset);  // a piece may begin before its row
}

template <class Out>
INGOT_DEVICE void StorePiece(const DecodeParams& p, const Piece& piece, const float* w) {
  if (piece.begin == 0 && piece.end == Out::kPiece) {
    auto* const out = PlaceOf<Out>(p, piece.row, piece.column);
    if (reinterpret_cast<uintptr_t>(out) % 16 == 0) {
      StoreWords<0>(out, Out::Pack(w));
      return;
    }
  }
  INGOT_UNROLL
  for (uint32_t i = 0; i < Out::kPiece; ++i) {
    if (piece.Has(i)) StoreGlobal(PlaceOf<Out>(p, piece.row, piece.column + i), Out::Narrow(w[i]));
  }
}

}  // namespace ingot::cuda

// How codes and activations get to shared memory, a stage of k at a time, and how a lane reads the codes there.
#pragma once

#include "kernels/cuda/product_ways.cuh"

namespace ingot::cuda {

// ---- the copies of a thread

// Those of one field: the block's rows, one 16 bytes after the other in shared memory, so that a warp's request has
// whole sectors of 16 rows.
template <uint32_t kPieceBytes, uint32_t kPieces>
struct FieldCopies {
  static constexpr uint32_t kParts = kPieceBytes / 16;
  static constexpr int kCopies = kPieces * kParts * kBlockRows / kProductThreads;
  static constexpr int kStep = kCopies == 0 ? 0 : kPieces / kCopies * kPieceBytes;  // in the row, from copy to copy
  const uint8_t* from;
  uint32_t to, place;  // in the stage, in the row's part of it

  // Of a field whose rows are `row_bytes` apart: from byte `begin` of row `first_row` on. Rows from `rows` on are the
  // last one once more.
  INGOT_DEVICE FieldCopies(const void* field, uint64_t row_bytes, uint64_t begin, uint64_t first_row, uint64_t rows) {
    const uint32_t i = ThreadIndex();
    const uint32_t row = kParts == 2 ? i / 2 : i / kWarp * 16 + i % 16, piece = kParts == 2 ? 0 : i / 16 % 2;
    const uint32_t part = kParts == 2 ? i % 2 * 16 : 0;
    place = Keep(piece * kPieceBytes + part);
    to = Keep((piece * kBlockRows + row) * kPieceBytes + part);
    from = Bytes(field, (first_row + (row < rows ? row : rows - 1)) * row_bytes + begin + place);
  }
  // `left`: bytes that the row has from here on; zeros beyond.
  INGOT_DEVICE void NextCut(uint8_t* stage, uint32_t left) {
    INGOT_UNROLL
    for (int k = 0; k < kCopies; ++k)
      CopyAsync16OrZeros(stage + to + k * kStep * static_cast<int>(kBlockRows), from + k * kStep,
                         place + static_cast<uint32_t>(k * kStep) < left);
  }
  INGOT_DEVICE void Next(uint8_t* stage) {
    ForCopies<0>(stage + to);
    from += kPieces * kPieceBytes;
  }

 private:
  template <int k>
  INGOT_DEVICE void ForCopies(uint8_t* at) const {
    if constexpr (k < kCopies) {
      CopyAsync16At<k * kStep* static_cast<int>(kBlockRows), k * kStep>(at, from);
      ForCopies<k + 1>(at);
    }
  }
};

template <class Math, int kBits, uint32_t kUnits, uint32_t kRows>
struct StageCopies {
  using Codes = StagedCodes<kBits>;
  static constexpr uint32_t kMostOfX = kUnits * 64 * Math::kBytes * kRows;  // bytes
  FieldCopies<Codes::kPieceBytes, kUnits * 8 * Codes::kWidth / Codes::kPieceBytes> low;
  FieldCopies<16, kUnits / 2> high;
  const uint8_t* x;
  const uint32_t x_bytes, of_thread;
  const uint32_t missing;  // bytes, of the last unit: only raw rows are not padded

  // From a row of the slice and a unit of the window on.
  INGOT_DEVICE StageCopies(const ProductParams& p, uint64_t row, uint64_t unit)
      : low(p.matrix.root.codes[0], kBits == 16 ? p.matrix.raw_stride * 2 : p.matrix.row_units * 8 * Codes::kWidth,
            (p.window.unit + unit) * 8 * Codes::kWidth, p.slice.row + row, p.slice.rows - row),
        high(p.matrix.root.codes[kBits == 3 ? 1 : 0], p.matrix.row_units * 8, (p.window.unit + unit) * 8,
             p.slice.row + row, p.slice.rows - row),
        x(Bytes(p.x, unit * p.x_rows * 64 * Math::kBytes + 16 * ThreadIndex())),
        x_bytes(kUnits * (kRows == 1 ? 1 : p.x_rows) * 64 * Math::kBytes),
        of_thread(Keep(16 * ThreadIndex())),
        missing(kBits == 16 ? static_cast<uint32_t>(p.window.units * 64 - p.window.columns) * 2 : 0) {}
  // `units`: how many the window has from here on.
  INGOT_DEVICE void Next(uint8_t* stage, uint32_t units) {
    if (units > kUnits || (units == kUnits && (kBits != 16 || missing == 0))) {
      low.Next(stage);
      if constexpr (Codes::kHighField) high.Next(stage + Codes::LowBytes(kUnits));
    } else {
      low.NextCut(stage, units * 8 * Codes::kWidth - missing);
      if constexpr (Codes::kHighField) high.NextCut(stage + Codes::LowBytes(kUnits), units * 8);
    }
    CopyX<0>(stage + Codes::Bytes(kUnits) + of_thread);
    x += x_bytes;
  }

 private:
  template <int k>
  INGOT_DEVICE void CopyX(uint8_t* at) const {
    constexpr int kAt = 16 * static_cast<int>(kProductThreads) * k;
    if constexpr (kAt < static_cast<int>(kMostOfX)) {
      if (kAt + of_thread < x_bytes) CopyAsync16At<kAt, kAt>(at, x);
      CopyX<k + 1>(at);
    }
  }
};

}  // namespace ingot::cuda

#include "kernels/product.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "format/checked.h"
#include "kernels/decode.h"
#include "kernels/gemv.h"
#include "kernels/in_parts.h"
#include "kernels/integer_weights.h"
#include "kernels/operand_rows.h"
#include "kernels/pack.h"
#include "kernels/sparse_part.h"
#include "kernels/widen.h"

#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/product.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/aligned_allocator.h"
#include "hwy/highway.h"
#include "kernels/float_rows-inl.h"
#include "kernels/gemm-inl.h"

#ifndef INGOT_KERNELS_PRODUCT_CC_ONCE_  // not once for each target
#define INGOT_KERNELS_PRODUCT_CC_ONCE_
namespace ingot {
namespace {

constexpr uint64_t kFewRows = 8;              // of activations: the weights' bytes are what takes the time
constexpr uint64_t kActivationsAtOnce = 512;  // sums of a block of rows stay in cache

}  // namespace
}  // namespace ingot
#endif

INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Int8s = hwy::AlignedFreeUniquePtr<int8_t[]>;
using Float32s = hwy::AlignedFreeUniquePtr<float[]>;

// ---- few rows of activations, f32

// Rows that `decode` gives, dotted with each row of activations.
void MultiplyFew(const RowDecoder& decode, const MatrixSlice& slice, const Product& p, const SparsePart& sparse) {
  InEqualParts(slice.rows, 8, slice.rows * slice.columns, [&](uint64_t begin, uint64_t end) {
    const Float32s w = hwy::AllocateAligned<float>(slice.columns);
    for (uint64_t row = begin; row < end; ++row) {
      decode(row, 1, w.get());
      for (uint64_t n = 0; n < p.x_rows; ++n) {
        float& y = p.y[n * p.y_stride + row];
        const auto* weights = reinterpret_cast<const std::byte*>(w.get());
        float sum;
        DotFloats<WideFloats, 1, 1>(&weights, p.x + n * p.x_stride, p.x_stride, slice.columns, &sum);
        y = p.add ? y + sum : sum;
      }
    }
    if (!sparse.empty()) SparseRows(sparse, begin, end - begin).AddTo(p.y, p.y_stride);
  });
}

// False, with nothing written, for types that are not widened here and for many rows of activations.
bool MultiplyFewRaw(const std::byte* weights, DType type, uint64_t columns, const MatrixSlice& slice,
                    const Product& p) {
  if (p.x_rows > kFewRows) return false;
  if (type == DType::kF32) return MultiplyFewFloats<WideFloats>(weights, columns, slice, p), true;
  if (type == DType::kF16) return MultiplyFewFloats<HalfFloats>(weights, columns, slice, p), true;
  if (type == DType::kBF16) return MultiplyFewFloats<BrainFloats>(weights, columns, slice, p), true;
  return false;
}

// ---- many rows of activations

void MultiplyManyF32(const RowDecoder& decode, const MatrixSlice& slice, const Product& p, const SparsePart& sparse) {
  for (uint64_t first = 0; first < p.x_rows; first += kActivationsAtOnce) {
    const uint64_t count = std::min(kActivationsAtOnce, p.x_rows - first);
    const uint64_t padded = CeilDiv(count, kPanel) * kPanel;
    const Float32s panels = hwy::AllocateAligned<float>(padded * slice.columns);
    PackPanels(p.x + first * p.x_stride, p.x_stride, count, slice.columns, panels.get());
    const uint64_t blocks = CeilDiv(slice.rows, kBlockRows);
    tbb::parallel_for(tbb::blocked_range<uint64_t>(0, blocks, 1), [&](const tbb::blocked_range<uint64_t>& range) {
      const Float32s w = hwy::AllocateAligned<float>(kBlockRows * slice.columns);
      const Float32s sums = hwy::AllocateAligned<float>(kBlockRows * padded);
      for (uint64_t block = range.begin(); block < range.end(); ++block) {
        const uint64_t row = block * kBlockRows, rows = std::min(kBlockRows, slice.rows - row);
        decode(row, rows, w.get());
        std::memset(sums.get(), 0, rows * padded * sizeof(float));
        for (uint64_t k = 0; k < slice.columns; k += kBlockCols) {
          const uint64_t columns = std::min(kBlockCols, slice.columns - k);
          for (uint64_t panel = 0; panel < padded / kPanel; ++panel) {
            TilesF32(w.get() + k, slice.columns, rows, panels.get() + (panel * slice.columns + k) * kPanel, columns,
                     sums.get() + panel * kPanel, padded);
          }
        }
        if (!sparse.empty()) {
          const SparseRows rest(sparse, row, rows);
          for (uint64_t r = 0; r < rows; ++r) rest.AddRowTo(row + r, first, count, sums.get() + r * padded);
        }
        StoreTransposed(sums.get(), padded, rows, count, p.y + first * p.y_stride + row, p.y_stride, p.add);
      }
    });
  }
}

void MultiplyRowsF32(const RowDecoder& decode, const MatrixSlice& slice, const Product& p, const SparsePart& sparse) {
  if (p.x_rows <= kFewRows) return MultiplyFew(decode, slice, p, sparse);
  MultiplyManyF32(decode, slice, p, sparse);
}

#if INGOT_INTEGER_DOTS
// ---- many rows of activations, 8 bits

using Int32s = hwy::AlignedFreeUniquePtr<int32_t[]>;

// Activations of up to kActivationsAtOnce rows in quads, and their sums over each group.
struct QuadsOfX {
  uint64_t rows = 0, padded = 0, quads = 0, groups = 0;
  Int8s panels;
  Float32s sums;  // [panel][group][kPanel]
  Int32s starts;  // as they are: `start` times the sum
  std::vector<float> scales;

  GroupOfX group(uint64_t panel, uint64_t g) const {
    const uint64_t at = (panel * groups + g) * kPanel;
    return {starts.get() + at, sums.get() + at};
  }
};

QuadsOfX MakeQuads(const float* x, uint64_t stride, uint64_t rows, uint64_t columns, uint64_t group_cols, int start) {
  QuadsOfX q;
  q.rows = rows, q.padded = CeilDiv(rows, kPanel) * kPanel, q.quads = CeilDiv(columns, 4);
  const uint64_t groups = q.groups = CeilDiv(columns, group_cols);
  q.panels = hwy::AllocateAligned<int8_t>(q.padded * q.quads * 4);
  std::memset(q.panels.get(), 0, q.padded * q.quads * 4);
  q.sums = hwy::AllocateAligned<float>(q.padded * groups);
  std::memset(q.sums.get(), 0, q.padded * groups * sizeof(float));
  q.starts = hwy::AllocateAligned<int32_t>(q.padded * groups);
  std::memset(q.starts.get(), 0, q.padded * groups * sizeof(int32_t));
  q.scales.resize(rows);
  tbb::parallel_for(uint64_t{0}, rows, [&](uint64_t n) {
    std::vector<int8_t> bytes(columns);
    q.scales[n] = QuantizeRow<1>(x + n * stride, columns, bytes.data(), nullptr);
    PackQuads(bytes.data(), columns, n, q.quads, q.panels.get());
    for (uint64_t g = 0; g < groups; ++g) {
      const uint64_t begin = g * group_cols, end = std::min(columns, begin + group_cols);
      const int sum = SumOfBytes(bytes.data() + begin, end - begin);
      const uint64_t at = (n / kPanel * groups + g) * kPanel + n % kPanel;
      q.sums[at] = static_cast<float>(sum), q.starts[at] = start * sum;
    }
  });
  return q;
}

// The codes of a row of the slice as bytes, those of a codebook as its bytes, as AsOperand<kMost> has them; up to a
// whole quad.
template <int kMost>
void UnpackSliceRow(const IntegerWeights& w, uint64_t row, uint8_t* out) {
  const Linear& l = w.matrix->linear;
  const FieldRows fields = w.matrix->fields_at(w.slice.row + row, w.slice.column);
  UnpackRow(std::span(fields).first(FieldWidths(l.bits).size()), w.slice.columns, l.bits, out);
  if (l.codebook || kLess128<kMost>) {
    const DB d;
    const VB table = hn::LoadDup128(d, w.book.data());
    for (uint64_t k = 0; k < w.slice.columns; k += kVectorBytes) {
      const VB codes = hn::LoadU(d, out + k);
      hn::StoreU(AsOperand<kMost>(l.codebook ? hn::TableLookupBytes(table, codes) : codes), d, out + k);
    }
  }
  for (uint64_t k = w.slice.columns; k % 4 != 0; ++k) out[k] = 0;
}

// Asks for the codes of some rows, for which there is time while others are multiplied.
void PrefetchRows(const IntegerWeights& w, uint64_t row, uint64_t rows) {
  const Linear& l = w.matrix->linear;
  const auto widths = FieldWidths(l.bits);
  for (uint64_t r = row; r < row + rows; ++r) {
    const FieldRows fields = w.matrix->fields_at(w.slice.row + r, w.slice.column);
    for (size_t f = 0; f < widths.size(); ++f) {
      const uint64_t bytes = PackedRowBytes(w.slice.columns, widths[f]);
      for (uint64_t i = 0; i < bytes; i += 64) __builtin_prefetch(fields[f] + i, 0, 2);
    }
  }
}

template <int kMost, bool kVaries>
void MultiplyBlock(const IntegerWeights& w, const QuadsOfX& x, const uint8_t* codes, uint64_t codes_stride,
                   uint64_t rows, const BlockOperands& operands, float* sums) {
  const uint64_t columns = w.slice.columns;
  for (uint64_t panel = 0; panel < x.padded / kPanel; ++panel) {
    for (uint64_t g = 0; g < x.groups; ++g) {
      const uint64_t begin = g * w.group_cols, end = std::min(columns, begin + w.group_cols);
      TilesGroup<kMost, kVaries>(codes + begin, codes_stride, rows, operands, g,
                                 x.panels.get() + (panel * x.quads + begin / 4) * 4 * kPanel, CeilDiv(end - begin, 4),
                                 x.group(panel, g), sums + panel * kPanel, x.padded);
    }
  }
}

// Adds -o X, for all groups together.
void AddOffsets(const float* minus_o, const QuadsOfX& x, uint64_t rows, float* sums) {
  for (uint64_t panel = 0; panel < x.padded / kPanel; ++panel)
    TilesF32(minus_o, x.groups, rows, x.group(panel, 0).sums, x.groups, sums + panel * kPanel, x.padded);
}

// Operands of the rows of a block, a row of groups after the other; those of a codebook of bytes rewritten for them:
// s (c (u - 128) - z) - o = c (s (u - (128 + z / c)) - o / c). Of bytes less 128, so is z.
class BlockOperandRows {
 public:
  BlockOperandRows(const IntegerWeights& w, bool less128)
      : w_(w),
        groups_(CeilDiv(w.slice.columns, w.group_cols)),
        first_(w.slice.column / w.matrix->linear.group_cols),
        z_((w.matrix->linear.codebook ? 128.0f : 0.0f) - (less128 ? 128.0f : 0.0f)) {
    const uint64_t end = w.slice.row + w.slice.rows;
    const OperandRows::Which all[] = {OperandRows::kScale, OperandRows::kZeroPoint, OperandRows::kOffset};
    const bool used[] = {true, w.varies, w.has_o};
    for (int i = 0; i < 3; ++i) {
      if (!used[i]) continue;
      rows_[i] = OperandRows(*w.matrix, all[i], end);
      values_[i].resize(kBlockRows * groups_);
    }
  }
  void Fetch(uint64_t row, uint64_t rows) {
    const float inverse = 1.0f / w_.book_scale;
    Copy(0, row, rows, 1.0f, 0.0f);
    if (w_.varies) Copy(1, row, rows, inverse, z_);
    if (w_.has_o) Copy(2, row, rows, -inverse, 0.0f);
  }
  BlockOperands operands() const { return {values_[0].data(), values_[1].data(), groups_}; }
  const float* minus_o() const { return values_[2].data(); }

 private:
  void Copy(int operand, uint64_t row, uint64_t rows, float scale, float add) {
    for (uint64_t r = 0; r < rows; ++r) {
      const float* from = rows_[operand].Row(w_.slice.row + row + r) + first_;
      float* to = values_[operand].data() + r * groups_;
      for (uint64_t g = 0; g < groups_; ++g) to[g] = add + from[g] * scale;
    }
  }

  const IntegerWeights& w_;
  uint64_t groups_, first_;
  float z_;
  OperandRows rows_[3];
  std::vector<float> values_[3];
};

template <int kMost>
void MultiplyManyOf(const IntegerWeights& w, const Product& p, const SparsePart& sparse) {
  for (uint64_t first = 0; first < p.x_rows; first += kActivationsAtOnce) {
    const uint64_t count = std::min(kActivationsAtOnce, p.x_rows - first);
    const int start = w.varies ? 0 : (kLess128<kMost> ? 128 : 0) - w.z;
    const QuadsOfX x = MakeQuads(p.x + first * p.x_stride, p.x_stride, count, w.slice.columns, w.group_cols, start);
    const uint64_t blocks = CeilDiv(w.slice.rows, kBlockRows), codes_stride = CeilDiv(w.slice.columns, 64) * 64 + 64;
    tbb::parallel_for(tbb::blocked_range<uint64_t>(0, blocks, 1), [&](const tbb::blocked_range<uint64_t>& range) {
      const auto codes = hwy::AllocateAligned<uint8_t>(kBlockRows * codes_stride);
      const Float32s sums = hwy::AllocateAligned<float>(kBlockRows * x.padded);
      BlockOperandRows operands(w, kLess128<kMost>);
      for (uint64_t block = range.begin(); block < range.end(); ++block) {
        const uint64_t row = block * kBlockRows, rows = std::min(kBlockRows, w.slice.rows - row);
        for (uint64_t r = 0; r < rows; ++r) UnpackSliceRow<kMost>(w, row + r, codes.get() + r * codes_stride);
        if (row + rows < w.slice.rows) PrefetchRows(w, row + rows, std::min(kBlockRows, w.slice.rows - row - rows));
        std::memset(sums.get(), 0, rows * x.padded * sizeof(float));
        operands.Fetch(row, rows);
        (w.varies ? &MultiplyBlock<kMost, true> : &MultiplyBlock<kMost, false>)(w, x, codes.get(), codes_stride, rows,
                                                                                operands.operands(), sums.get());
        if (w.has_o) AddOffsets(operands.minus_o(), x, rows, sums.get());
        for (uint64_t r = 0; r < rows; ++r) {
          float* sum = sums.get() + r * x.padded;
          for (uint64_t n = 0; n < count; ++n) sum[n] *= x.scales[n] * w.book_scale;
        }
        if (!sparse.empty()) {
          const SparseRows rest(sparse, row, rows);
          for (uint64_t r = 0; r < rows; ++r) rest.AddRowTo(row + r, first, count, sums.get() + r * x.padded);
        }
        StoreTransposed(sums.get(), x.padded, rows, count, p.y + first * p.y_stride + row, p.y_stride, p.add);
      }
    });
  }
}

bool MultiplyManyIntegers(const IntegerWeights& w, const Product& p, const SparsePart& sparse) {
  if (w.group_cols % 4 != 0 && w.group_cols < w.slice.columns) return false;
  const bool wide = w.matrix->linear.codebook || w.matrix->linear.bits > 6;
  wide ? MultiplyManyOf<255>(w, p, sparse) : MultiplyManyOf<63>(w, p, sparse);
  return true;
}

uint32_t MagnitudeOfRow(const float* x, uint64_t count) { return LargestMagnitude(x, count); }
#else
bool MultiplyManyIntegers(const IntegerWeights&, const Product&, const SparsePart&) { return false; }
uint32_t MagnitudeOfRow(const float*, uint64_t) { return 0x7F800000u; }  // nothing is multiplied as integers
#endif

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(MultiplyRowsF32);
HWY_EXPORT(MultiplyFewRaw);
HWY_EXPORT(MultiplyManyIntegers);
HWY_EXPORT(MagnitudeOfRow);

namespace {

// Activations of the stored columns of a slice: times t, in the order of a permutation.
struct StoredX {
  std::vector<float> values;  // empty: the caller's own
  const float* x = nullptr;
  uint64_t stride = 0;
};

// x by stored columns; with a permutation, and a slice of the columns, zeros elsewhere.
StoredX MakeStored(const EncodedMatrix& w, MatrixSlice& slice, const Product& p) {
  const Linear& l = w.linear;
  StoredX out{{}, p.x, p.x_stride};
  if (!l.permutation && l.t.form == OperandForm::kAbsent) return out;
  std::vector<float> t(slice.columns, l.t.constant);
  if (l.t.form == OperandForm::kAbsent) std::fill(t.begin(), t.end(), 1.0f);
  if (l.t.form == OperandForm::kArray)
    WidenToF32(l.t.type, w.t.data() + slice.column * InfoOf(l.t.type).size, slice.columns, t.data());
  const uint64_t columns = l.permutation ? l.cols : slice.columns;
  out.values.assign(p.x_rows * columns, 0.0f);
  for (uint64_t n = 0; n < p.x_rows; ++n) {
    for (uint64_t c = 0; c < slice.columns; ++c) {
      const uint64_t stored = l.permutation ? w.stored_column[slice.column + c] : c;
      out.values[n * columns + stored] = p.x[n * p.x_stride + c] * t[c];
    }
  }
  out.x = out.values.data(), out.stride = columns;
  if (l.permutation) slice.column = 0, slice.columns = columns;
  return out;
}

// Whether 8 or 16 bits can stand for the activations, and sums of them times codes for sums of values: all finite, none
// of a row's maxima so large or small that products or its inverse overflow.
bool AreModest(const float* x, uint64_t stride, uint64_t rows, uint64_t columns) {
  for (uint64_t n = 0; n < rows; ++n) {
    const auto most = std::bit_cast<float>(HWY_DYNAMIC_DISPATCH(MagnitudeOfRow)(x + n * stride, columns));
    if (!(most <= 0x1p120f) || (most != 0.0f && most < 0x1p-100f)) return false;
  }
  return true;
}

// Adds what is not in the integers to the results of few rows.
void AddSparse(const MatrixSlice& slice, const Product& p, const SparsePart& sparse) {
  if (sparse.empty()) return;
  InEqualParts(slice.rows, 8, slice.rows * slice.columns,
               [&](uint64_t begin, uint64_t end) { SparseRows(sparse, begin, end - begin).AddTo(p.y, p.y_stride); });
}

// Few rows of activations in f32, without decoding rows.
bool MultiplyFewValues(const EncodedMatrix& m, const MatrixSlice& slice, const Product& p, const SparsePart& sparse) {
  if (p.x_rows > kFewRows || !AreModest(p.x, p.x_stride, p.x_rows, slice.columns)) return false;
  const auto w = IntegerWeights::Make(m, slice, Precision::kF32);
  if (!w || !MultiplyFewF32(*w, p)) return false;
  AddSparse(slice, p, sparse);
  return true;
}

bool MultiplyIntegers(const EncodedMatrix& m, const MatrixSlice& slice, const Product& p, const SparsePart& sparse) {
  const auto w = IntegerWeights::Make(m, slice, p.precision);
  if (!w) return false;
  if (p.x_rows > kFewRows)
    return p.precision != Precision::kInt16 && HWY_DYNAMIC_DISPATCH(MultiplyManyIntegers)(*w, p, sparse);
  if (!MultiplyFewIntegers(*w, p)) return false;
  AddSparse(slice, p, sparse);
  return true;
}

}  // namespace

void MultiplyDecoded(const RowDecoder& decode, const MatrixSlice& slice, const Product& product) {
  HWY_DYNAMIC_DISPATCH(MultiplyRowsF32)(decode, slice, product, SparsePart());
}

void Multiply(const EncodedMatrix& w, const MatrixSlice& slice, const Product& product) {
  MatrixSlice stored_slice = slice;
  StoredX stored = MakeStored(w, stored_slice, product);
  Product p = product;
  p.x = stored.x, p.x_stride = stored.stride;
  SparsePart sparse(w, slice, product);
  if (p.precision != Precision::kF32 && AreModest(p.x, p.x_stride, p.x_rows, stored_slice.columns)) {
    bool integers = true;
    if (p.precision == Precision::kLlmInt8) {
      integers = sparse.TakeLargeColumns(stored_slice, p.x, p.x_stride, stored.values);
      if (!stored.values.empty()) p.x = stored.values.data(), p.x_stride = stored_slice.columns;
    }
    if (integers && MultiplyIntegers(w, stored_slice, p, sparse)) return;
    if (p.precision == Precision::kLlmInt8) {  // all of it in f32 after all
      stored_slice = slice;
      stored = MakeStored(w, stored_slice, product);
      p.x = stored.x, p.x_stride = stored.stride;
      sparse = SparsePart(w, slice, product);
    }
  }
  if (MultiplyFewValues(w, stored_slice, p, sparse)) return;
  const RowDecoder decode = [&](uint64_t first, uint64_t count, float* out) {
    DecodeStored(w, stored_slice.row + first, count, stored_slice.column, stored_slice.columns, out,
                 stored_slice.columns);
  };
  HWY_DYNAMIC_DISPATCH(MultiplyRowsF32)(decode, stored_slice, p, sparse);
}

void MultiplyRaw(const std::byte* weights, DType type, uint64_t columns, const MatrixSlice& slice,
                 const Product& product) {
  if (HWY_DYNAMIC_DISPATCH(MultiplyFewRaw)(weights, type, columns, slice, product)) return;
  const uint64_t size = InfoOf(type).size;
  MultiplyDecoded(
      [&](uint64_t first, uint64_t count, float* out) {
        for (uint64_t r = 0; r < count; ++r)
          WidenToF32(type, weights + ((slice.row + first + r) * columns + slice.column) * size, slice.columns,
                     out + r * slice.columns);
      },
      slice, product);
}

}  // namespace ingot
#endif  // HWY_ONCE

// Decoding in SIMD, a piece of a row at a time: codes are unpacked to bytes, operands fetched for many groups at once,
// then values made group by group (kernels/values-inl.h). The bits are those of the reference.
#include "kernels/decode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "format/checked.h"
#include "kernels/matrix.h"
#include "kernels/pack.h"
#include "kernels/widen.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/decode.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/aligned_allocator.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/line_writer-inl.h"
#include "kernels/units-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr uint64_t kPiece = 4096;     // columns at a time
inline constexpr uint64_t kStretch = 65536;  // where they need no buffer
inline constexpr uint64_t kWindow = 1024;    // elements of an operand at a time
inline constexpr uint64_t kShortGroup = 16;  // below: an operand for each column

class Decoder;
using Floats = hwy::AlignedFreeUniquePtr<float[]>;

// Whether all are zero or of a magnitude from 2^-100 to 2^100. Readable kSpill beyond, `values` aligned.
bool Ordinary(const float* values, uint64_t count) {
  const DU32 d;
  const auto least = hn::Set(d, 27u << 23), span = hn::Set(d, 200u << 23);
  auto worst = hn::Zero(d);
  const auto check = [&](uint64_t i) HWY_ATTR {
    const auto magnitude = hn::And(hn::BitCast(d, hn::LoadU(DF(), values + i)), hn::Set(d, 0x7FFFFFFFu));
    const auto above = hn::Sub(magnitude, least);
    return hn::IfThenElseZero(hn::Ne(magnitude, hn::Zero(d)), above);
  };
  uint64_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) worst = hn::Max(worst, check(i));
  if (i < count) worst = hn::Max(worst, hn::IfThenElseZero(hn::FirstN(d, count - i), check(i)));
  return hn::AllFalse(d, hn::Gt(worst, span));
}

// A stretch of the elements of one operand, as f32; moves on when others are asked for. Decoding for many groups (of
// several rows) at once is what makes operands cheap.
class OperandWindow {
 public:
  // Elements [first, first + count) of an array or a nested operand, readable kSpill beyond; `limit` is the end of what
  // will ever be asked for.
  const float* At(const EncodedMatrix& m, int number, uint64_t first, uint64_t count, uint64_t limit);
  bool ordinary() const { return ordinary_; }  // all that it holds

 private:
  uint64_t first_ = 0, end_ = 0, room_ = kWindow;
  bool ordinary_ = true;
  std::unique_ptr<Decoder> decoder_;
  Floats more_;  // where kWindow are not enough
  HWY_ALIGN float values_[kWindow + kSpill];
};

class Decoder {
 public:
  // `last`: the last element that will be asked for.
  Decoder(const EncodedMatrix& m, uint64_t last) : m_(m) {
    const Linear& l = m.linear;
    rule_ = {.bits = l.bits,
             .arithmetic = l.arithmetic,
             .result = DType::kF32,
             .has_s = l.s.form != OperandForm::kAbsent,
             .has_z = l.z.form != OperandForm::kAbsent,
             .has_o = l.o.form != OperandForm::kAbsent,
             .has_book = l.codebook,
             .book = book_};
    const size_t entries = size_t{1} << l.bits;
    for (size_t i = 0; i < kBookSize && (l.codebook || i < 32); ++i) {
      book_[i] = l.codebook ? Load<float>(m.codebook.data() + 4 * (i % entries)) : static_cast<float>(i % entries);
    }
    ordinary_ = !l.codebook || Ordinary(book_, entries);
    for (int i = 0; i < 3; ++i) {
      const ingot::Operand& o = m.operand(i);
      constants_[i] = o.form == OperandForm::kConstant ? o.constant : i == 0 ? 1.0f : 0.0f;
    }
    ordinary_ &= Ordinary(constants_, 3);
    for (int i = 0; i < 3 && l.group_count() > 1; ++i)
      alike_ &= m.operand(i).form == OperandForm::kAbsent || m.operand(i).form == OperandForm::kConstant;
    limit_ = (last / l.cols / l.group_rows + 1) * l.groups_across();
  }

  // Stored columns of a row as f32, before t, h and rounding.
  void DecodeStored(uint64_t row, uint64_t begin, uint64_t columns, float* out) {
    for (uint64_t at = 0; at < columns; at += kPiece) {
      const uint64_t n = std::min(kPiece, columns - at), direct = n > kSpill ? (n - kSpill) / kPackUnit * kPackUnit : 0;
      if (direct != 0) Stored(row, begin + at, direct, rule_, DType::kF32, out + at);
      Stored(row, begin + at + direct, n - direct, rule_, DType::kF32, rest_);
      std::memcpy(out + at + direct, rest_, (n - direct) * sizeof(float));
    }
  }

  // Elements [first, first + count) of the view as `type`.
  void Decode(uint64_t first, uint64_t count, DType type, std::byte* out, bool stream);

 private:
#if INGOT_UNITS
  // Whether columns [begin, begin + count) of a row are whole units, each of one group, two, four or, as bytes, eight.
  bool AreUnits(uint64_t row, uint64_t begin, uint64_t count, bool packed) const;
  // Columns for which that is so. kStream: past the caches.
  template <bool kStream>
  void Units(const GroupOperands& g, uint64_t row, uint64_t begin, uint64_t count, const ValueRule& rule, DType type,
             void* out);
#endif
  // Whole units of the columns [begin, begin + count) of a row, no byte beyond; `stream`: past the caches. How many
  // columns: none where groups, columns or `out` do not allow it.
  uint64_t StoredUnits(uint64_t row, uint64_t begin, uint64_t count, const ValueRule& rule, DType type, bool stream,
                       void* out);
  // Stored columns [begin, begin + count) of a row, count <= kPiece, before t and h; writes up to kSpill more.
  void Stored(uint64_t row, uint64_t begin, uint64_t count, const ValueRule& rule, DType type, void* out);
  // Of groups shorter than `shortest` columns one for each column.
  GroupOperands Operands(uint64_t row, uint64_t begin, uint64_t count, uint64_t shortest = kShortGroup);
  const uint8_t* Codes(uint64_t row, uint64_t begin, uint64_t count);
  // Asks for the codes of `count` columns from `begin`, which may be in a later row: the processor's own prefetching
  // ends with a page.
  void PrefetchCodes(uint64_t row, uint64_t begin, uint64_t count) const;
  const float* Operand(int number, uint64_t group, uint64_t groups, uint64_t first_cols, uint64_t count, bool by_column,
                       size_t& step, bool& ordinary);
  void StoredRow(uint64_t row);
  // Logical columns [begin, begin + count) of a row as f32, rounded to the result type, for encodings with t, h or a
  // permutation.
  void Logical(uint64_t row, uint64_t begin, uint64_t count, float* out);
  uint64_t StreamLines(uint64_t bytes, std::byte* out);

  const EncodedMatrix& m_;
  ValueRule rule_;
  uint64_t limit_;
  bool ordinary_;      // codebook and constants
  bool alike_ = true;  // groups have the same operands
  std::array<OperandWindow, 3> windows_;
  std::array<Floats, 3> columns_;  // operands of short groups, one for each column
  Floats stored_row_;              // with a permutation
  uint64_t stored_row_number_ = ~uint64_t{0};
  HWY_ALIGN float constants_[3 + kSpill];
  HWY_ALIGN float book_[kBookSize];
  HWY_ALIGN uint8_t codes_[kPiece + kPackUnit + kSpill];
  Floats logical_, column_scales_;  // a piece, and t of it; where something follows the formula's operations
  HWY_ALIGN float rest_[2 * kPackUnit + kSpill];
  HWY_ALIGN std::byte lines_[4 * (kPiece + kSpill) + 64];
};

const float* OperandWindow::At(const EncodedMatrix& m, int number, uint64_t first, uint64_t count, uint64_t limit) {
  float* values = more_ == nullptr ? values_ : more_.get();
  if (first < first_ || first + count > end_) {
    const uint64_t room = std::max(count, std::min(limit - first, kWindow));
    if (room > room_) {
      more_ = hwy::AllocateAligned<float>(room + kSpill), room_ = room;
      values = more_.get();
    }
    first_ = first, end_ = first + room;
    const ingot::Operand& o = m.operand(number);
    if (o.form == OperandForm::kArray) {
      WidenToF32(o.type, m.operand_array(number).data() + first * InfoOf(o.type).size, room, values);
    } else {
      const EncodedMatrix& child = m.nested_operand(number);
      if (decoder_ == nullptr) decoder_ = std::make_unique<Decoder>(child, limit - 1);
      decoder_->Decode(first, room, DType::kF32, reinterpret_cast<std::byte*>(values), false);
    }
    ordinary_ = Ordinary(values, room);
  }
  return values + (first - first_);
}

// The codes of stored columns [begin, begin + count), readable kSpill beyond.
const uint8_t* Decoder::Codes(uint64_t row, uint64_t begin, uint64_t count) {
  const Linear& l = m_.linear;
  const uint64_t row_cols = m_.nested ? l.rows * l.cols : l.cols;
  const uint64_t at = m_.nested ? row * l.cols + begin : begin, start = at / kPackUnit * kPackUnit;
  const uint64_t plane_row = m_.nested ? 0 : row;
  if (l.bits == 8) {
    const uint64_t bytes = PackedRowBytes(row_cols, 8);
    const std::byte* in = m_.codes[0].data() + plane_row * bytes + at;
    if (plane_row * bytes + at + count + kSpill <= m_.codes[0].size()) return reinterpret_cast<const uint8_t*>(in);
    std::memcpy(codes_, in, count);
    return codes_;
  }
  std::array<const std::byte*, kMaxFields> fields{};
  const auto widths = FieldWidths(l.bits);
  for (size_t f = 0; f < widths.size(); ++f) {
    fields[f] = m_.codes[f].data() + plane_row * PackedRowBytes(row_cols, widths[f]) + PackedRowBytes(start, widths[f]);
  }
  UnpackRow(std::span(fields).first(widths.size()), at - start + count, l.bits, codes_);
  return codes_ + (at - start);
}

void Decoder::PrefetchCodes(uint64_t row, uint64_t begin, uint64_t count) const {
  const Linear& l = m_.linear;
  if (m_.nested) return;
  const auto widths = FieldWidths(l.bits);
  for (size_t f = 0; f < widths.size(); ++f) {
    const uint64_t at = row * PackedRowBytes(l.cols, widths[f]) + PackedRowBytes(begin, widths[f]);
    const uint64_t end = std::min(at + PackedRowBytes(count, widths[f]), m_.codes[f].size());
    for (uint64_t i = at; i < end; i += 64) hwy::Prefetch(m_.codes[f].data() + i);
  }
}

// Operand s, z or o of `groups` groups; with `by_column` repeated for each of `count` columns.
const float* Decoder::Operand(int number, uint64_t group, uint64_t groups, uint64_t first_cols, uint64_t count,
                              bool by_column, size_t& step, bool& ordinary) {
  const Linear& l = m_.linear;
  const auto index = static_cast<size_t>(number);
  const ingot::Operand& o = m_.operand(number);
  if (o.form == OperandForm::kAbsent || o.form == OperandForm::kConstant) {
    step = 0;
    return &constants_[number];
  }
  step = 1;
  const float* values = windows_[index].At(m_, number, group, groups, limit_);
  ordinary &= windows_[index].ordinary();
  if (!by_column || l.group_cols == 1) return values;
  Floats& columns = columns_[index];
  if (columns == nullptr) columns = hwy::AllocateAligned<float>(kPiece + kSpill);
  float* to = columns.get();
  const hn::CappedTag<float, kShortGroup> d;
  for (uint64_t at = 0, cols = first_cols; at < count; at += cols, cols = l.group_cols, ++values) {
    // Written in full and over: the next group corrects what goes too far.
    for (size_t i = 0; i < kShortGroup; i += hn::Lanes(d)) hn::StoreU(hn::Set(d, *values), d, to + at + i);
  }
  return to;
}

GroupOperands Decoder::Operands(uint64_t row, uint64_t begin, uint64_t count, uint64_t shortest) {
  const Linear& l = m_.linear;
  const uint64_t first = alike_ ? 0 : begin / l.group_cols, last = alike_ ? 0 : (begin + count - 1) / l.group_cols;
  const uint64_t group = alike_ ? 0 : row / l.group_rows * l.groups_across() + first, groups = last - first + 1;
  const bool by_column = l.group_cols < shortest && groups > 1;
  GroupOperands g;
  g.ordinary = ordinary_;
  g.first_cols = (first + 1) * l.group_cols - begin;
  g.s = Operand(0, group, groups, g.first_cols, count, by_column, g.s_step, g.ordinary);
  g.z = Operand(1, group, groups, g.first_cols, count, by_column, g.z_step, g.ordinary);
  g.o = Operand(2, group, groups, g.first_cols, count, by_column, g.o_step, g.ordinary);
  g.group_cols = by_column ? 1 : l.group_cols;
  if (groups == 1) g.s_step = g.z_step = g.o_step = 0;
  if (g.s_step + g.z_step + g.o_step == 0) g.first_cols = g.group_cols = kStretch;  // all groups are alike
  return g;
}

#if INGOT_UNITS
bool Decoder::AreUnits(uint64_t row, uint64_t begin, uint64_t count, bool packed) const {
  const uint64_t cols = m_.linear.group_cols, end = begin + count;
  if (count == 0 || count % kPackUnit != 0 || begin % kPackUnit != 0 || (row != 0 && m_.nested)) return false;
  return alike_ || cols % kPackUnit == 0 || cols == 32 || cols == 16 || (cols == 8 && !packed) ||
         begin / cols == (end - 1) / cols;
}

template <bool kStream>
void Decoder::Units(const GroupOperands& g, uint64_t row, uint64_t begin, uint64_t count, const ValueRule& rule,
                    DType type, void* out) {
  if (type == DType::kF32 && rule.bits >= 2 && rule.bits <= 4) {
    WideUnits<kStream>(rule, rule.bits, g, m_.fields_at(row, begin), count, out);
  } else {
    const uint8_t* codes = rule.bits == 8 ? AsCodes(m_.fields_at(row, begin)[0]) : Codes(row, begin, count);
    ByteUnits<kStream>(rule, g, codes, count, type, out);
  }
}
#endif

uint64_t Decoder::StoredUnits(uint64_t row, uint64_t begin, uint64_t count, const ValueRule& rule, DType type,
                              bool stream, void* out) {
#if INGOT_UNITS
  const bool packed = type == DType::kF32 && rule.bits >= 2 && rule.bits <= 4, in_place = packed || rule.bits == 8;
  const uint64_t most = !in_place ? kPiece : alike_ ? kStretch : std::min(kStretch, m_.linear.group_cols * kWindow / 2);
  count = std::min(count, most) / kPackUnit * kPackUnit;
  // Codebooks of two to sixteen entries are looked up as tables of 16 bits; short groups have none here.
  const bool gathers = type != DType::kF32 && rule.has_book && rule.bits <= 4 && m_.linear.group_cols % 32 != 0;
  if (gathers && !alike_) return 0;
  if (!AreUnits(row, begin, count, packed) || (stream && reinterpret_cast<uintptr_t>(out) % 4 != 0)) return 0;
  const GroupOperands g = Operands(row, begin, count, 8);
  if (stream) {
    Units<true>(g, row, begin, count, rule, type, out);
  } else {
    Units<false>(g, row, begin, count, rule, type, out);
  }
  return count;
#else
  (void)row, (void)begin, (void)count, (void)rule, (void)type, (void)stream, (void)out;
  return 0;
#endif
}

void Decoder::Stored(uint64_t row, uint64_t begin, uint64_t count, const ValueRule& rule, DType type, void* out) {
  const uint64_t whole = StoredUnits(row, begin, count, rule, type, false, out);
  if (whole == count) return;
  begin += whole, count -= whole;
  const GroupOperands g = Operands(row, begin, count);
  Values(rule, g, Codes(row, begin, count), count, type, static_cast<std::byte*>(out) + whole * InfoOf(type).size);
}

void Decoder::StoredRow(uint64_t row) {
  if (row == stored_row_number_) return;
  const uint64_t cols = m_.linear.cols;
  if (stored_row_ == nullptr) stored_row_ = hwy::AllocateAligned<float>(cols + kSpill);
  for (uint64_t at = 0; at < cols; at += kPiece)
    Stored(row, at, std::min(kPiece, cols - at), rule_, DType::kF32, stored_row_.get() + at);
  stored_row_number_ = row;
}

void Decoder::Logical(uint64_t row, uint64_t begin, uint64_t count, float* out) {
  const Linear& l = m_.linear;
  const DF df;
  const size_t lanes = hn::Lanes(df);
  if (l.permutation) {
    StoredRow(row);
    for (uint64_t i = 0; i < count; ++i) out[i] = stored_row_[m_.stored_column[begin + i]];
  } else {
    Stored(row, begin, count, rule_, DType::kF32, out);
  }
  if (l.t.form == OperandForm::kConstant) {
    const VF t = hn::Set(df, l.t.constant);
    for (uint64_t i = 0; i < count; i += lanes)
      hn::StoreU(RoundTo(l.arithmetic, hn::Mul(hn::LoadU(df, out + i), t)), df, out + i);
  } else if (l.t.form == OperandForm::kArray) {
    WidenToF32(l.t.type, m_.t.data() + begin * InfoOf(l.t.type).size, count, column_scales_.get());
    for (uint64_t i = 0; i < count; i += lanes)
      hn::StoreU(RoundTo(l.arithmetic, hn::Mul(hn::LoadU(df, out + i), hn::LoadU(df, column_scales_.get() + i))), df,
                 out + i);
  }
  if (l.outliers != OutlierForm::kNone) reference::AddOutliers(m_, row, begin, begin + count, out);
  if (l.result != DType::kF32) {
    for (uint64_t i = 0; i < count; i += lanes) hn::StoreU(RoundTo(l.result, hn::LoadU(df, out + i)), df, out + i);
  }
}

// Writes all whole lines of the cache of `bytes` bytes in lines_, which belong to `out`, and moves the rest to the
// front. Returns how many bytes were written.
uint64_t Decoder::StreamLines(uint64_t bytes, std::byte* out) {
  const uint64_t rest = std::min<uint64_t>(bytes, (reinterpret_cast<uintptr_t>(out) + bytes) % 64);
  StreamCopy(lines_, bytes - rest, out);
  std::memmove(lines_, lines_ + bytes - rest, rest);
  return bytes - rest;
}

void Decoder::Decode(uint64_t first, uint64_t count, DType type, std::byte* out, bool stream) {
  const Linear& l = m_.linear;
  const uint64_t size = InfoOf(type).size;
  const bool simple = !l.permutation && l.t.form == OperandForm::kAbsent && l.outliers == OutlierForm::kNone;
  // Rows of whole units and groups that follow each other are as one row.
  const bool in_order = alike_ || (l.group_rows == 1 && l.cols % l.group_cols == 0);
  const bool flat = simple && in_order && (m_.nested || l.cols % kPackUnit == 0);
  const uint64_t cols = flat ? l.rows * l.cols : l.cols;
  ValueRule rule = rule_;
  if (simple) rule.result = l.result;
  if (!simple && logical_ == nullptr) logical_ = hwy::AllocateAligned<float>(kPiece + kSpill);
  if (l.t.form == OperandForm::kArray && column_scales_ == nullptr)
    column_scales_ = hwy::AllocateAligned<float>(kPiece + kSpill);
  uint64_t held = 0;  // bytes in lines_ that belong to `out`
  for (uint64_t row = first / cols, column = first % cols; count > 0;) {
    uint64_t n = std::min(count, cols - column);
    const uint64_t whole = simple && held == 0 ? StoredUnits(row, column, n, rule, type, stream, out) : 0;
    if (whole != 0) {
      n = whole, out += n * size;
    } else {
      n = std::min(n, kPiece - column % kPackUnit);
      const bool direct = simple && !stream && count > kSpill;
      if (direct) n = std::min(n, count - kSpill);  // the end goes by way of the buffer
      std::byte* to = direct ? out : lines_ + held;
      if (simple) {
        Stored(row, column, n, rule, type, to);
      } else {
        Logical(row, column, n, logical_.get());
        NarrowFromF32(type, logical_.get(), n, to);
      }
      if (direct) {
        out += n * size;
      } else if (stream) {
        PrefetchCodes(row, column + n, n);
        const uint64_t written = StreamLines(held + n * size, out);
        out += written, held += n * size - written;
      } else {
        std::memcpy(out, lines_, n * size);
        out += n * size;
      }
    }
    count -= n, column += n;
    if (column == cols) ++row, column = 0;
  }
  std::memcpy(out, lines_, held);
  if (stream) hwy::FlushStream();
}

void DecodeTarget(const EncodedMatrix& m, uint64_t first, uint64_t count, DType type, std::byte* out, bool stream) {
  Decoder(m, first + count - 1).Decode(first, count, type, out, stream);
}

void DecodeStoredTarget(const EncodedMatrix& m, uint64_t row, uint64_t rows, uint64_t begin, uint64_t columns,
                        float* out, uint64_t stride) {
  Decoder decoder(m, (row + rows) * m.linear.cols - 1);
  for (uint64_t r = 0; r < rows; ++r) decoder.DecodeStored(row + r, begin, columns, out + r * stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot {

HWY_EXPORT(DecodeTarget);
HWY_EXPORT(DecodeStoredTarget);

void DecodeTo(const EncodedMatrix& m, uint64_t first, uint64_t count, DType type, void* out, bool stream) {
  if (count == 0) return;
  HWY_DYNAMIC_DISPATCH(DecodeTarget)(m, first, count, type, static_cast<std::byte*>(out), stream);
}

void DecodeStored(const EncodedMatrix& m, uint64_t row, uint64_t rows, uint64_t begin, uint64_t columns, float* out,
                  uint64_t stride) {
  if (rows != 0 && columns != 0) HWY_DYNAMIC_DISPATCH(DecodeStoredTarget)(m, row, rows, begin, columns, out, stride);
}

void DecodeElements(const EncodedMatrix& m, uint64_t first, uint64_t count, float* out) {
  DecodeTo(m, first, count, DType::kF32, out);
}

}  // namespace ingot
#endif  // HWY_ONCE

// Where rows of weights have their blocks, groups and operands, per SIMD target. Include after hwy/highway.h, in each
// pass of foreach_target.h.
#if defined(INGOT_KERNELS_ROW_LAYOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_KERNELS_ROW_LAYOUT_INL_H_
#undef INGOT_KERNELS_ROW_LAYOUT_INL_H_
#else
#define INGOT_KERNELS_ROW_LAYOUT_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/dot-inl.h"
#include "kernels/integer_weights.h"
#include "kernels/operand_rows.h"

#if INGOT_INTEGER_DOTS
INGOT_BEFORE_NAMESPACE();
namespace ingot {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kSums = hn::MaxLanes(DF());  // lanes of a sum

// Columns that one sum of integers covers: a group, a block that has several groups of whole units (each in lanes of
// its own), or what one vector has.
enum class SumKind { kGroup, kBlock, kVector };
template <int kBits>
SumKind SumsOf(const IntegerWeights& w) {
  if (w.group_cols % Block<kBits>::kCols == 0 || w.group_cols >= w.slice.columns) return SumKind::kGroup;
  return w.group_cols % kPackUnit == 0 ? SumKind::kBlock : SumKind::kVector;
}

// A row of the matrix at work: its fields from the slice's first column, and its operands from the slice's first group.
struct RowOfW {
  FieldRows fields;
  const float *s, *z, *o;
};

// The last block of a row, filled up with zeros: whole vectors are read.
template <int kBits>
struct TailBlock {
  HWY_ALIGN std::byte bytes[kMaxFields][64];  // a block's are at most 64
  float s[OperandRows::kSlack], z[OperandRows::kSlack];

  RowOfW Make(const RowOfW& row, size_t block, size_t units, size_t first_group, size_t groups) {
    using B = Block<kBits>;
    RowOfW tail{};
    constexpr int kWidths[kMaxFields] = {B::kFirst, B::kSecond, B::kThird};
    for (int f = 0; f < kMaxFields && kWidths[f] != 0; ++f) {
      const size_t unit_bytes = 8 * static_cast<size_t>(kWidths[f]);
      std::memset(bytes[f], 0, sizeof bytes[f]);
      std::memcpy(bytes[f], row.fields[f] + block * B::kUnits * unit_bytes, units * unit_bytes);
      tail.fields[f] = bytes[f];
    }
    const auto copy = [&](const float* from, float* to) {
      std::fill(to, to + OperandRows::kSlack, 0.0f);
      if (groups <= OperandRows::kSlack) std::copy(from + first_group, from + first_group + groups, to);
      return to;
    };
    tail.s = copy(row.s, s), tail.z = copy(row.z, z);
    return tail;
  }
};

// Where a row has blocks, groups and their operands.
template <int kBits>
class RowLayout {
  using B = Block<kBits>;

 public:
  static constexpr size_t kBlockBytes = 8 * B::kFirst * B::kUnits;  // of the widest field

  explicit RowLayout(const IntegerWeights& w) : kind_(SumsOf<kBits>(w)), full_blocks_(w.slice.columns / B::kCols) {
    const size_t tail_cols = w.slice.columns - full_blocks_ * B::kCols;
    tail_units_ = CeilDiv(tail_cols, kPackUnit);
    if (kind_ == SumKind::kGroup) {
      per_group_ = CeilDiv(std::min(w.group_cols, w.slice.columns), B::kCols);
      full_groups_ = full_blocks_ / per_group_;
      return;
    }
    groups_ = B::kCols / w.group_cols;
    tail_groups_ = CeilDiv(tail_cols, w.group_cols);
    for (size_t v = 0; v < B::kVectors; ++v) {
      for (size_t lane = 0; lane < kSums; ++lane)
        lane_group_[v][lane] = static_cast<int32_t>(B::Column(v, 4 * lane) / w.group_cols);
    }
  }

 protected:
  // Where the operands of a block's lanes are: in a vector from a multiple of kSums groups on, which crosses no line of
  // the cache (a block has a power of two of groups).
  class LaneOperands {
   public:
    HWY_INLINE LaneOperands(const RowLayout& layout, size_t group) : first_(group / kSums * kSums) {
      const auto in_vector = hn::Set(DSum(), static_cast<int32_t>(group % kSums));
      INGOT_UNROLL for (size_t v = 0; v < B::kVectors; ++v) lanes_[v] =
          hn::Add(hn::Load(DSum(), layout.lane_group_[v]), in_vector);
    }
    HWY_INLINE VF Load(const float* operands) const { return hn::LoadU(DF(), operands + first_); }
    // To each lane of vector v that of its group.
    template <int v>
    HWY_INLINE VF Spread(VF operands) const {
      return hn::TableLookupLanes(operands, hn::IndicesFromVec(DF(), lanes_[v]));
    }

   private:
    size_t first_;
    VSum lanes_[B::kVectors];
  };

  // The last block of a row, in `tail`; its groups are from the first one on, if they are finer than a block.
  RowOfW Tail(const RowOfW& row, TailBlock<kBits>& tail) const {
    return tail.Make(row, full_blocks_, tail_units_, groups_ * full_blocks_, tail_groups_);
  }

  SumKind kind_;
  size_t full_blocks_, tail_units_ = 0;
  size_t per_group_ = 1, full_groups_ = 0;  // blocks, where groups are made of them
  size_t groups_ = 0, tail_groups_ = 0;     // of a block, where they are finer
  HWY_ALIGN int32_t lane_group_[B::kVectors][kSums] = {};
};

// Whether RowLayout can take these weights.
template <int kBits>
bool HasLayout(const IntegerWeights& w) {
  if (SumsOf<kBits>(w) == SumKind::kGroup) return true;
  const uint64_t block = Block<kBits>::kCols;
  return block % w.group_cols == 0 && w.group_cols % 4 == 0 && block / w.group_cols <= kSums;
}

}  // namespace HWY_NAMESPACE
}  // namespace ingot
HWY_AFTER_NAMESPACE();
#endif  // INGOT_INTEGER_DOTS

#endif

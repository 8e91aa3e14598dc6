#include "format/content_checker.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "format/encoding.h"
#include "format/packing.h"

namespace ingot {
namespace {

class ContentChecker {
 public:
  ContentChecker(const Index& index, const ChunkWalk& walk, Report& report)
      : index_(index), walk_(walk), report_(report) {}

  void Check(uint32_t number, const std::string& place, bool nested) {
    const EncodingRecord e = index_.encoding(number);
    const Linear l = DecodeLinear(index_.payload(e));
    const std::vector<PlaneSpec> specs = PlanesOf(l, nested);
    bool codes_equal = true;
    uint32_t rows_plane = 0;
    for (size_t i = 0; i < specs.size() && !report_.full(); ++i) {
      const uint32_t plane = static_cast<uint32_t>(e.first_plane + i);
      switch (specs[i].role) {
        case PlaneRole::kCodes:
          CheckPadding(plane, place, nested ? l.rows * l.cols : l.cols, specs[i].field_width);
          if (nested) codes_equal = codes_equal && FieldsAllEqual(plane, l.rows * l.cols, specs[i].field_width);
          break;
        case PlaneRole::kScales:
        case PlaneRole::kZeroPoints:
        case PlaneRole::kOffsets:
        case PlaneRole::kColumnScales:
          if (AllEqual(plane, specs[i].element_size)) {
            report_.Add("R-LIN-7", place, "all {} have the same bits; such an array is a constant",
                        NameOf(specs[i].role));
          }
          break;
        case PlaneRole::kPermutation:
          CheckPermutation(plane, place, l.cols);
          break;
        case PlaneRole::kOutlierRows:
          rows_plane = plane;
          break;
        case PlaneRole::kOutlierColumns:
          if (l.outliers == OutlierForm::kUnstructured) {
            CheckSparse(rows_plane, plane, place, l);
          } else {
            CheckColumns(plane, place, l);
          }
          break;
        default:
          break;
      }
    }
    const auto simple = [](const Operand& operand) { return operand.form <= OperandForm::kConstant; };
    if (nested && codes_equal && simple(l.s) && simple(l.z) && simple(l.o)) {
      report_.Add("R-LIN-7", place, "all codes of a nested encoding are equal; it is a constant");
    }
  }

 private:
  static uint64_t ElementAt(const std::byte* at, int size) {
    return size == 2 ? Load<uint16_t>(at) : size == 4 ? Load<uint32_t>(at) : Load<uint64_t>(at);
  }

  // Calls `use(number, value)` for each integer of a plane, until it returns false.
  template <typename Use>
  void ForEach(uint32_t plane, int size, Use&& use) {
    uint64_t number = 0;
    walk_(plane, [&](ByteSpan chunk) {
      for (size_t at = 0; at < chunk.size(); at += static_cast<size_t>(size)) {
        if (!use(number++, ElementAt(chunk.data() + at, size))) return false;
      }
      return true;
    });
  }

  bool AllEqual(uint32_t plane, int size) {
    bool equal = true;
    std::vector<std::byte> first;
    walk_(plane, [&](ByteSpan chunk) {
      const size_t width = static_cast<size_t>(size);
      if (first.empty()) first.assign(chunk.begin(), chunk.begin() + size);
      for (size_t at = 0; at < chunk.size() && equal; at += width)
        equal = std::memcmp(chunk.data() + at, first.data(), width) == 0;
      return equal;
    });
    return equal && !first.empty();
  }

  // Whether the field of every element of a flat row of `count` codes has the same value.
  bool FieldsAllEqual(uint32_t plane, uint64_t count, int width) {
    const uint64_t unit = 8 * static_cast<uint64_t>(width);
    const unsigned mask = (1u << width) - 1;
    bool equal = true;
    unsigned first = 0;
    uint64_t done = 0;
    walk_(plane, [&](ByteSpan chunk) {
      for (size_t at = 0; at < chunk.size() && equal; at += unit) {
        const uint64_t in_unit = std::min<uint64_t>(kPackUnit, count - done);
        for (uint64_t j = 0; j < in_unit; ++j) {
          const unsigned v =
              (std::to_integer<unsigned>(chunk[at + j % unit]) >> (static_cast<uint64_t>(width) * (j / unit))) & mask;
          if (done + j == 0) first = v;
          equal = equal && v == first;
        }
        done += in_unit;
      }
      return equal;
    });
    return equal && done > 0;
  }

  // R-PACK-1. Units do not straddle chunks: both sizes are powers of two.
  void CheckPadding(uint32_t plane, const std::string& place, uint64_t cols, int width) {
    const uint64_t tail = cols % kPackUnit;
    if (tail == 0) return;
    const uint64_t unit = 8 * static_cast<uint64_t>(width), row_bytes = PackedRowBytes(cols, width);
    std::vector<std::byte> allowed(unit, std::byte{0});  // the bits of the last unit that belong to columns
    for (uint64_t j = 0; j < tail; ++j) {
      allowed[j % unit] |= static_cast<std::byte>(((1u << width) - 1) << (static_cast<uint64_t>(width) * (j / unit)));
    }
    uint64_t begin = 0;  // of the chunk, in the plane
    walk_(plane, [&](ByteSpan chunk) {
      for (uint64_t row = begin / row_bytes;; ++row) {
        const uint64_t last_unit = (row + 1) * row_bytes - unit;
        if (last_unit < begin) continue;
        if (last_unit >= begin + chunk.size()) break;
        const std::byte* at = chunk.data() + (last_unit - begin);
        for (uint64_t i = 0; i < unit; ++i) {
          if ((at[i] & ~allowed[i]) == std::byte{0}) continue;
          report_.Add("R-PACK-1", place,
                      "row {} of a {}-bit field: byte {} of its last unit is {:#x}, the columns have the bits {:#x}",
                      row, width, i, std::to_integer<unsigned>(at[i]), std::to_integer<unsigned>(allowed[i]));
          return false;
        }
      }
      begin += chunk.size();
      return true;
    });
  }

  void CheckPermutation(uint32_t plane, const std::string& place, uint64_t cols) {
    std::vector<bool> seen(cols);  // the plane has 4 bytes for each of these bits
    bool identity = true, whole = true;
    ForEach(plane, 4, [&](uint64_t number, uint64_t column) {
      if (column >= cols || seen[column]) {
        report_.Add("R-PERM-1", place, "entry {} is column {} of {}{}", number, column, cols,
                    column < cols ? ", a second time" : "");
        return whole = false;
      }
      seen[column] = true;
      identity = identity && number == column;
      return true;
    });
    if (whole && identity) report_.Add("R-PERM-2", place, "the permutation is the identity");
  }

  void CheckColumns(uint32_t plane, const std::string& place, const Linear& l) {
    uint64_t next = 0;
    ForEach(plane, l.column_bytes(), [&](uint64_t number, uint64_t column) {
      if (column < next || column >= l.cols) {
        report_.Add("R-OUT-2", place, "outlier column {} is {}, expected {} to {}", number, column, next, l.cols - 1);
        return false;
      }
      next = column + 1;
      return true;
    });
  }

  // The row starts are read twice: once for R-OUT-1, then along with the columns, a chunk of them at a time.
  void CheckSparse(uint32_t rows_plane, uint32_t columns_plane, const std::string& place, const Linear& l) {
    uint64_t previous = 0;
    bool sound = true;
    ForEach(rows_plane, 8, [&](uint64_t row, uint64_t start) {
      const bool fits = row == 0
                            ? start == 0
                            : start >= previous && (row < l.rows ? start <= l.outlier_count : start == l.outlier_count);
      if (!fits) {
        report_.Add("R-OUT-1", place, "row start {} is {} after {}, of {} outliers", row, start, previous,
                    l.outlier_count);
        return sound = false;
      }
      previous = start;
      return true;
    });
    if (!sound) return;
    CheckSparseColumns(rows_plane, columns_plane, place, l);
  }

  void CheckSparseColumns(uint32_t rows_plane, uint32_t columns_plane, const std::string& place, const Linear& l) {
    RowStarts starts(*this, rows_plane);
    uint64_t next = 0;
    ForEach(columns_plane, l.column_bytes(), [&](uint64_t number, uint64_t column) {
      while (starts.current() <= number && starts.Advance(number)) next = 0;
      if (column < next || column >= l.cols) {
        report_.Add("R-OUT-2", place, "outlier {} is in column {}, expected {} to {}", number, column, next,
                    l.cols - 1);
        return false;
      }
      next = column + 1;
      return true;
    });
  }

  // The row starts, in ascending order, a chunk at a time.
  class RowStarts {
   public:
    RowStarts(ContentChecker& checker, uint32_t plane) : checker_(checker), plane_(plane) { Refill(); }
    uint64_t current() const { return at_ < starts_.size() ? starts_[at_] : UINT64_MAX; }
    // Passes one start that is at most `number`: a new row begins there.
    bool Advance(uint64_t number) {
      if (current() > number) return false;
      if (++at_ == starts_.size()) Refill();
      return true;
    }

   private:
    void Refill() {
      at_ = 0;
      starts_.clear();
      uint64_t chunk_number = 0;
      checker_.walk_(plane_, [&](ByteSpan chunk) {
        if (chunk_number++ < next_chunk_) return true;
        for (size_t i = 0; i < chunk.size(); i += 8) starts_.push_back(Load<uint64_t>(chunk.data() + i));
        return false;
      });
      ++next_chunk_;
    }
    ContentChecker& checker_;
    uint32_t plane_;
    uint64_t next_chunk_ = 0;
    std::vector<uint64_t> starts_;
    size_t at_ = 0;
  };

  const Index& index_;
  const ChunkWalk& walk_;
  Report& report_;
};

}  // namespace

void CheckContent(const Index& index, uint32_t number, const std::string& place, const ChunkWalk& walk,
                  Report& report) {
  const EncodingRecord e = index.encoding(number);
  if (!e.is(EncodingKind::kLinear)) return;
  ContentChecker checker(index, walk, report);
  checker.Check(number, place, false);
  for (uint32_t c = number - e.child_count; c < number; ++c)
    checker.Check(c, fmt::format("{}, child {}", place, c), true);
}

}  // namespace ingot

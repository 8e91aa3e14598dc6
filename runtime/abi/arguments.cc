#include "runtime/abi/arguments.h"

#include "format/checked.h"

namespace ingot::abi {
namespace {

// "640", or of what does not begin with 0 "640 from 128".
std::string RangeOf(uint64_t first, uint64_t count) {
  return first == 0 ? fmt::format("{}", count) : fmt::format("{} from {}", count, first);
}

}  // namespace

tl::expected<MatrixSlice, Failure> SliceWithin(const MatrixSlice& limit, std::string_view name,
                                               const ingot_slice* theirs) {
  if (theirs == nullptr) return limit;
  if (auto checked = CheckStruct(theirs, "slice"); !checked) return tl::unexpected(checked.error());
  const ingot_slice ours = TakeIn(theirs);
  // A size of 0 means "up to the end"; the first row or column has to be there, unless there are none.
  const auto cut = [](uint64_t first, uint64_t count, uint64_t begin, uint64_t size, uint64_t& from, uint64_t& taken) {
    if (first < begin || first - begin > size || (first - begin == size && size != 0) ||
        !InRange(first - begin, count, size))
      return false;
    from = first;
    taken = count == 0 ? size - (first - begin) : count;
    return true;
  };
  MatrixSlice slice;
  if (!cut(ours.row, ours.rows, limit.row, limit.rows, slice.row, slice.rows)) {
    return Refuse(INGOT_E_ARGUMENT, "{}: {} rows from row {}, of {}", name, ours.rows, ours.row,
                  RangeOf(limit.row, limit.rows));
  }
  if (!cut(ours.column, ours.columns, limit.column, limit.columns, slice.column, slice.columns)) {
    return Refuse(INGOT_E_ARGUMENT, "{}: {} columns from column {}, of {}", name, ours.columns, ours.column,
                  RangeOf(limit.column, limit.columns));
  }
  return slice;
}

tl::expected<MatrixSlice, Failure> SliceOf(const TensorView& view, const ingot_slice* theirs) {
  return SliceWithin(view.whole(), view.Name(), theirs);
}

Outcome CheckBuffer(const MatrixSlice& slice, uint64_t size, uint64_t alignment, const void* out, size_t out_bytes,
                    uint64_t& stride) {
  if (stride == 0) stride = slice.columns;
  if (stride < slice.columns)
    return Refuse(INGOT_E_ARGUMENT, "the stride is {}, the slice has {} columns", stride, slice.columns);
  if (slice.rows == 0 || slice.columns == 0) return {};
  if (out == nullptr) return Refuse(INGOT_E_ARGUMENT, "out is NULL");
  const auto before = CheckedMul(slice.rows - 1, stride);
  const auto elements = before ? CheckedAdd(*before, slice.columns) : std::nullopt;
  const auto bytes = elements ? CheckedMul(*elements, size) : std::nullopt;
  if (!bytes || *bytes > out_bytes) {
    return Refuse(INGOT_E_ARGUMENT,
                  "the buffer has {} bytes, {} by {} elements of {} bytes with a stride of {} do not fit", out_bytes,
                  slice.rows, slice.columns, size, stride);
  }
  if (reinterpret_cast<uintptr_t>(out) % alignment != 0)
    return Refuse(INGOT_E_ARGUMENT, "out is not at a multiple of {} bytes", alignment);
  return {};
}

Outcome CheckOperand(const char* name, const void* at, uint64_t rows, uint64_t columns, uint64_t stride,
                     uint64_t size) {
  if (stride < columns)
    return Refuse(INGOT_E_ARGUMENT, "{}_stride is {}, the rows have {} values", name, stride, columns);
  if (rows == 0 || columns == 0) return {};
  if (at == nullptr) return Refuse(INGOT_E_ARGUMENT, "{} is NULL", name);
  if (reinterpret_cast<uintptr_t>(at) % size != 0)
    return Refuse(INGOT_E_ARGUMENT, "{} is not at a multiple of {} bytes", name, size);
  const auto before = CheckedMul(rows - 1, stride);
  const auto elements = before ? CheckedAdd(*before, columns) : std::nullopt;
  if (!elements || *elements > (uint64_t{1} << 60))
    return Refuse(INGOT_E_ARGUMENT, "{}: {} rows with a stride of {} fit into no memory", name, rows, stride);
  return {};
}

}  // namespace ingot::abi

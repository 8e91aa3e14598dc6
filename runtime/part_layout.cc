#include "runtime/part_layout.h"

#include "format/checked.h"

namespace ingot {

PartLayout::PartLayout(const Index& index, const TensorRecord& tensor) {
  const std::vector<uint64_t> dims = tensor.shape();
  const size_t rank = dims.size();
  columns_ = rank == 0 ? 1 : dims.back();
  // The other dimensions of a tensor without elements may have a product that does not fit.
  const auto product = [&](size_t first, size_t last) {
    return first >= last ? 1 : CheckedProduct(std::span(dims).subspan(first, last - first)).value_or(0);
  };
  rows_ = product(0, rank == 0 ? 0 : rank - 1);
  by_columns_ = rank > 0 && tensor.axis + size_t{1} == rank;
  if (!by_columns_ && rank > 0) {
    before_ = product(0, tensor.axis);
    between_ = product(tensor.axis + size_t{1}, rank - 1);
  }
  starts_.reserve(tensor.part_count + size_t{1});
  starts_.push_back(0);
  for (uint32_t p = tensor.first_part; p < tensor.first_part + tensor.part_count; ++p)
    starts_.push_back(starts_.back() + index.part(p).extent);
}

}  // namespace ingot

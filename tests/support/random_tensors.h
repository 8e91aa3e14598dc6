// Tensors at random: of every shape, joined from parts of every kind, with the values that they have.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/product.h"
#include "tests/support/tensor_file.h"

namespace ingot::test {

// A tensor and the values that it has, row-major.
struct Expected {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

inline uint64_t ProductOf(const std::vector<uint64_t>& dims, size_t first, size_t last) {
  uint64_t product = 1;
  for (size_t i = first; i < last; ++i) product *= dims[i];
  return product;
}

// A view of `elements` elements: rows of `columns`, or any other factorization.
inline std::pair<uint64_t, uint64_t> AnyView(Dice& dice, uint64_t elements, uint64_t columns) {
  if (dice.Below(3) != 0) return {elements / columns, columns};
  for (int i = 0; i < 20; ++i) {
    const uint64_t rows = 1 + dice.Below(elements);
    if (elements % rows == 0) return {rows, elements / rows};
  }
  return {1, elements};
}

// Puts a part's values where they belong in the tensor.
inline void Place(const std::vector<float>& part, const std::vector<uint64_t>& shape, size_t axis, uint64_t start,
                  uint64_t extent, std::vector<float>& values) {
  const uint64_t inner = ProductOf(shape, axis + 1, shape.size()), size = shape[axis];
  for (uint64_t i = 0; i < part.size(); ++i) {
    const uint64_t outer = i / (extent * inner), rest = i % (extent * inner);
    values[(outer * size + start) * inner + rest] = part[i];
  }
}

inline Expected AddTensor(TensorFile& file, Dice& dice, const std::string& name) {
  Expected e;
  e.name = name;
  e.dtype = dice.Type();
  const size_t rank = 1 + dice.Below(4);
  for (size_t i = 0; i < rank; ++i) e.shape.push_back(1 + dice.Below(i + 1 == rank ? 150 : 6));
  e.values.resize(ProductOf(e.shape, 0, rank));
  const auto axis = static_cast<uint8_t>(dice.Below(rank));
  std::vector<IndexBuilder::Part> parts;
  for (uint64_t start = 0; start < e.shape[axis];) {
    const uint64_t extent = dice.Below(3) == 0 ? e.shape[axis] - start : 1 + dice.Below(e.shape[axis] - start);
    std::vector<uint64_t> shape = e.shape;
    shape[axis] = extent;
    const uint64_t elements = ProductOf(shape, 0, rank);
    std::vector<float> part;
    uint32_t encoding = 0;
    if (dice.Below(5) == 0) {
      Bytes bytes;
      for (float v : part = dice.Floats(elements, e.dtype)) AppendFloat(bytes, e.dtype, v);
      encoding = file.AddRaw(bytes);
    } else {
      const auto [rows, cols] = AnyView(dice, elements, shape.back());
      const Numbers n = dice.Fill(dice.AnyLinear(rows, cols, false));
      part = n.Values();
      encoding = file.AddLinear(n);
    }
    Place(part, e.shape, axis, start, extent, e.values);
    parts.push_back({extent, encoding});
    start += extent;
  }
  if (parts.size() == 1) {
    file.Add(name, e.dtype, e.shape, parts[0].encoding);
  } else {
    file.builder.AddTensor(name, e.dtype, e.shape, axis, parts);
  }
  return e;
}

inline MatrixSlice AnySlice(Dice& dice, const MatrixSlice& whole) {
  MatrixSlice s;
  s.row = dice.Below(whole.rows), s.rows = 1 + dice.Below(whole.rows - s.row);
  s.column = dice.Below(whole.columns), s.columns = 1 + dice.Below(whole.columns - s.column);
  return dice.Below(4) == 0 ? whole : s;
}

}  // namespace ingot::test

// Tensors at random: of every shape, joined from parts of every kind, with the values that they have.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/product.h"
#include "tests/support/tensor_file.h"

namespace ingot::test {

// What the error bound of a product on a device is made of, for one element of the matrix
// (kernels/cuda/product_plan.h).
struct ProductTerm {
  float codes = 0;      // (|s| (|m| + |z|) + |o|) |t|
  float book = 0;       // |s| max |m| |t| of a codebook
  float outlier = 0;    // |h|
  float roundings = 0;  // those of arithmetic and result type, relative
  bool t_array = false;
};

// Row-major, logical columns.
inline std::vector<ProductTerm> TermsOf(const Numbers& n) {
  const Linear& l = n.linear;
  const auto unit = [](DType type) { return type == DType::kF16 ? 0x1p-11f : type == DType::kBF16 ? 0x1p-8f : 0.0f; };
  float most = 0;
  for (float m : n.codebook) most = std::max(most, std::abs(m));
  std::vector<ProductTerm> terms(l.rows * l.cols);
  for (uint64_t r = 0; r < l.rows; ++r) {
    for (uint64_t j = 0; j < l.cols; ++j) {
      const uint64_t group = r / l.group_rows * l.groups_across() + j / l.group_cols;
      const auto value = [&](int i, float absent) {
        return n.operand(i).form == OperandForm::kAbsent ? absent : std::abs(n.GroupValue(i, group));
      };
      const uint64_t c = l.permutation ? n.permutation[j] : j;
      const float t = l.t.form == OperandForm::kArray      ? n.t[c]
                      : l.t.form == OperandForm::kConstant ? l.t.constant
                                                           : 1.0f;
      const uint8_t q = n.codes[r * l.cols + j];
      ProductTerm& term = terms[r * l.cols + c];
      const float m = std::abs(l.codebook ? n.codebook[q] : static_cast<float>(q));
      term.codes = (value(0, 1.0f) * (m + value(1, 0.0f)) + value(2, 0.0f)) * std::abs(t);
      term.book = l.codebook ? value(0, 1.0f) * most * std::abs(t) : 0.0f;
      term.roundings = 4 * unit(l.arithmetic) + unit(l.result);
      term.t_array = l.t.form == OperandForm::kArray;
      if (const float* h = n.OutlierAt(r, c)) term.outlier = std::abs(*h);
    }
  }
  return terms;
}

// A tensor and the values that it has, row-major.
struct Expected {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
  std::vector<float> values;
  std::vector<ProductTerm> terms = {};  // with the values of raw parts as codes
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
template <class T>
void Place(const std::vector<T>& part, const std::vector<uint64_t>& shape, size_t axis, uint64_t start, uint64_t extent,
           std::vector<T>& values) {
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
  e.terms.resize(e.values.size());
  const auto axis = static_cast<uint8_t>(dice.Below(rank));
  std::vector<IndexBuilder::Part> parts;
  for (uint64_t start = 0; start < e.shape[axis];) {
    const uint64_t extent = dice.Below(3) == 0 ? e.shape[axis] - start : 1 + dice.Below(e.shape[axis] - start);
    std::vector<uint64_t> shape = e.shape;
    shape[axis] = extent;
    const uint64_t elements = ProductOf(shape, 0, rank);
    std::vector<float> part;
    std::vector<ProductTerm> terms(elements);
    uint32_t encoding = 0;
    if (dice.Below(5) == 0) {
      Bytes bytes;
      for (float v : part = dice.Floats(elements, e.dtype)) AppendFloat(bytes, e.dtype, v);
      encoding = file.AddRaw(bytes);
      for (uint64_t i = 0; i < elements; ++i) terms[i].codes = std::abs(part[i]);
    } else {
      const auto [rows, cols] = AnyView(dice, elements, shape.back());
      const Numbers n = dice.Fill(dice.AnyLinear(rows, cols, false));
      part = n.Values();
      terms = TermsOf(n);
      encoding = file.AddLinear(n);
    }
    Place(part, e.shape, axis, start, extent, e.values);
    Place(terms, e.shape, axis, start, extent, e.terms);
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

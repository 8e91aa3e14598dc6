// An encoded matrix that owns its planes, made of plain numbers.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "kernels/matrix.h"
#include "tests/support/formula.h"

namespace ingot::test {

// A matrix with the memory that it looks at: each plane in an allocation of exactly its size.
struct OwnedMatrix {
  explicit OwnedMatrix(const Numbers& n) : planes(n.Planes()) {
    std::vector<EncodedMatrix> child_matrices;
    for (int i = 0; i < 3; ++i) {
      if (n.operand(i).form != OperandForm::kNested) continue;
      children.push_back(std::make_unique<OwnedMatrix>(*n.groups[static_cast<size_t>(i)].nested));
      child_matrices.push_back(children.back()->matrix);
    }
    matrix = EncodedMatrix::Make(n.linear, n.nested, {planes.begin(), planes.end()}, std::move(child_matrices));
  }
  OwnedMatrix(const OwnedMatrix&) = delete;

  std::vector<Bytes> planes;
  std::vector<std::unique_ptr<OwnedMatrix>> children;
  EncodedMatrix matrix;
};

}  // namespace ingot::test

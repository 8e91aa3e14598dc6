// Matrices of random codes, as `ingot convert` writes them, in memory: what kernels are measured with.
#pragma once

#include <string>

#include "kernels/matrix.h"
#include "tools/bench/yardsticks.h"

namespace ingot::bench {

enum class Zero { kIntegers, kConstant, kFloats };

// Scales are f16; zero-points are nested integers, the constant of symmetric codes, or f16.
struct MatrixSpec {
  int bits = 4;
  uint64_t group = 128;   // columns; 0: the whole row
  bool codebook = false;  // of f32, without zero-points (NF4)
  Zero zero = Zero::kIntegers;
  double outliers = 0;  // share of the weights that are kept apart, unstructured, f16
  uint64_t rows = 0, columns = 0;

  std::string name() const;  // "4-bit g128"
};

// All its planes lie in one piece of memory. Movable.
class SyntheticMatrix {
 public:
  explicit SyntheticMatrix(const MatrixSpec& spec);

  const EncodedMatrix& matrix() const { return matrix_; }
  // The packed bytes, all planes.
  const std::byte* data() const { return memory_.data(); }
  size_t bytes() const { return memory_.size(); }
  double values() const;

 private:
  SyntheticMatrix(const Linear& root, const Linear& zeros);

  Memory memory_;
  EncodedMatrix matrix_;
};

// Fast random 64-bit words (SplitMix64).
class Words {
 public:
  explicit Words(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  float Between(float low, float high);
  void Fill(std::byte* at, size_t bytes);

 private:
  uint64_t state_;
};

}  // namespace ingot::bench

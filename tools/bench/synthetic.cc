#include "tools/bench/synthetic.h"

#include <fmt/format.h>

#include <algorithm>

namespace ingot::bench {
namespace {

constexpr size_t kAlignment = 256;  // of planes in a file

size_t Padded(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

Linear RootOf(const MatrixSpec& spec) {
  Linear l;
  l.bits = spec.bits, l.codebook = spec.codebook;
  l.rows = spec.rows, l.cols = spec.columns;
  l.group_cols = spec.group == 0 ? spec.columns : spec.group;
  l.s = Operand::Array(DType::kF16);
  if (!spec.codebook) {
    l.z = spec.zero == Zero::kIntegers   ? Operand::Nested()
          : spec.zero == Zero::kConstant ? Operand::Constant(static_cast<float>(1 << (spec.bits - 1)))
                                         : Operand::Array(DType::kF16);
  }
  const auto per_row = static_cast<uint64_t>(spec.outliers * static_cast<double>(spec.columns));
  if (per_row > 0) {
    l.outliers = OutlierForm::kUnstructured;
    l.outlier_type = DType::kF16, l.outlier_count = per_row * spec.rows;
  }
  return l;
}

// Integer zero-points: the codes of a matrix of groups, one to one.
Linear ZerosOf(const Linear& root) {
  Linear l;
  l.bits = root.bits;
  l.rows = root.groups_down(), l.cols = root.groups_across();
  l.group_rows = l.rows, l.group_cols = l.cols;
  return l;
}

size_t SizeOf(const Linear& linear, bool nested) {
  size_t size = 0;
  for (const PlaneSpec& plane : PlanesOf(linear, nested)) size += Padded(plane.size);
  return size;
}

void FillPlane(const PlaneSpec& plane, const Linear& l, Words& words, std::byte* at) {
  const uint64_t per_row = l.rows == 0 ? 0 : l.outlier_count / l.rows, count = plane.size / plane.element_size;
  switch (plane.role) {
    case PlaneRole::kCodebook:
      for (uint64_t i = 0; i < count; ++i)
        Store(at + 4 * i, 2.0f * static_cast<float>(i) / static_cast<float>(count) - 1);
      break;
    case PlaneRole::kScales:
      for (uint64_t i = 0; i < count; ++i) Store(at + 2 * i, F32ToF16(words.Between(0.001f, 0.01f)));
      break;
    case PlaneRole::kZeroPoints:
      for (uint64_t i = 0; i < count; ++i)
        Store(at + 2 * i, F32ToF16(words.Between(0, static_cast<float>(1 << l.bits))));
      break;
    case PlaneRole::kOutlierRows:
      for (uint64_t r = 0; r < count; ++r) Store(at + 8 * r, r * per_row);
      break;
    case PlaneRole::kOutlierColumns:
      for (uint64_t i = 0; i < count; ++i) Store(at + 2 * i, static_cast<uint16_t>(i % per_row * (l.cols / per_row)));
      break;
    case PlaneRole::kOutlierValues:
      for (uint64_t i = 0; i < count; ++i) Store(at + 2 * i, F32ToF16(words.Between(-0.5f, 0.5f)));
      break;
    default:
      words.Fill(at, plane.size);
  }
}

EncodedMatrix Place(const Linear& linear, bool nested, std::vector<EncodedMatrix> children, Words& words,
                    std::byte*& at) {
  std::vector<ByteSpan> planes;
  for (const PlaneSpec& plane : PlanesOf(linear, nested)) {
    FillPlane(plane, linear, words, at);
    planes.emplace_back(at, plane.size);
    at += Padded(plane.size);
  }
  return EncodedMatrix::Make(linear, nested, planes, std::move(children));
}

}  // namespace

std::string MatrixSpec::name() const {
  std::string text = codebook ? "nf4" : fmt::format("{}-bit", bits);
  text += group == 0 ? " row" : fmt::format(" g{}", group);
  if (!codebook && zero == Zero::kConstant) text += " symmetric";
  if (!codebook && zero == Zero::kFloats) text += " f16 zero";
  if (outliers > 0) text += fmt::format(" {:g} % outliers", 100 * outliers);
  return text;
}

SyntheticMatrix::SyntheticMatrix(const MatrixSpec& spec) : SyntheticMatrix(RootOf(spec), ZerosOf(RootOf(spec))) {}

SyntheticMatrix::SyntheticMatrix(const Linear& root, const Linear& zeros)
    : memory_(SizeOf(root, false) + (root.child_count() > 0 ? SizeOf(zeros, true) : 0)) {
  Words words(1);
  std::byte* at = memory_.data();
  std::vector<EncodedMatrix> children;
  if (root.child_count() > 0) children.push_back(Place(zeros, true, {}, words, at));
  matrix_ = Place(root, false, std::move(children), words, at);
}

double SyntheticMatrix::values() const {
  return static_cast<double>(matrix_.linear.rows) * static_cast<double>(matrix_.linear.cols);
}

uint64_t Words::Next() {
  uint64_t z = state_ += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

float Words::Between(float low, float high) {
  return low + (high - low) * static_cast<float>(Next() >> 40) / static_cast<float>(1 << 24);
}

void Words::Fill(std::byte* at, size_t bytes) {
  for (; bytes >= 8; bytes -= 8, at += 8) Store(at, Next());
  for (; bytes > 0; --bytes, ++at) *at = static_cast<std::byte>(Next());
}

}  // namespace ingot::bench

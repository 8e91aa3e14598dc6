// One element of a matrix, in the words of spec/ENCODINGS.md: what all decoding kernels share, and the slow way for
// what they do one by one.
#pragma once

#include "kernels/cuda/matrix_view.h"
#include "kernels/cuda/primitives.cuh"

namespace ingot::cuda {

INGOT_DEVICE uint64_t Divide(uint64_t n, const Divider& d) {
  const uint64_t quotient = MultiplyHigh(n, d.reciprocal);  // right, or one too small
  return quotient + (n - quotient * d.divisor >= d.divisor);
}

INGOT_DEVICE const uint8_t* Bytes(const void* at, uint64_t offset) { return static_cast<const uint8_t*>(at) + offset; }

INGOT_DEVICE float LoadFloat(const void* array, Type type, uint64_t i) {
  if (type == kF32) return AsFloat(LoadGlobal<uint32_t>(Bytes(array, 4 * i)));
  const uint16_t bits = LoadGlobal<uint16_t>(Bytes(array, 2 * i));
  return type == kF16 ? F16AsF32(bits) : AsFloat(static_cast<uint32_t>(bits) << 16);
}

INGOT_DEVICE float RoundTo(Type type, float value) {
  if (type == kF16) return F16AsF32(F32AsF16(value));
  if (type == kBF16) return AsFloat(static_cast<uint32_t>(F32AsBF16(value)) << 16);
  return value;
}

// The code at `column` of a row that begins with unit `first_unit` of the planes.
INGOT_DEVICE uint32_t CodeAt(const NodeView& node, uint64_t first_unit, uint64_t column) {
  const uint64_t unit = first_unit + column / 64;
  const auto j = static_cast<uint32_t>(column % 64);
  uint32_t code = 0, shift = 0;
  int field = 0;
  for (uint32_t width = 8; width > 0; width /= 2) {  // the fields of b bits are b in binary
    if ((node.bits & width) == 0) continue;
    const uint32_t byte = LoadGlobal<uint8_t>(Bytes(node.codes[field], unit * 8 * width + j % (8 * width)));
    code |= (byte >> (width * (j / (8 * width))) & ((1u << width) - 1)) << shift;
    shift += width;
    ++field;
  }
  return code;
}

struct GroupValues {
  float s, z, o;
};

// The operations with s, z and o that are there, on m(q).
INGOT_DEVICE float Grouped(const NodeView& node, const GroupValues& g, float w) {
  if (node.operands[kZeroPoint].form != kAbsent) w = RoundTo(node.arithmetic, Subtract(w, g.z));
  if (node.operands[kScale].form != kAbsent) w = RoundTo(node.arithmetic, Multiply(g.s, w));
  if (node.operands[kOffset].form != kAbsent) w = RoundTo(node.arithmetic, Subtract(w, g.o));
  return w;
}

INGOT_DEVICE float LeafOperand(const OperandView& operand, uint64_t group) {
  return operand.form == kArray ? LoadFloat(operand.array, operand.type, group) : operand.constant;
}

INGOT_DEVICE float EntryOf(const NodeView& node, uint32_t code) {
  return node.codebook != nullptr ? LoadFloat(node.codebook, kF32, code) : static_cast<float>(code);
}

// Element `index`, row-major, of a nested encoding: its codes are packed as one row.
INGOT_DEVICE float NestedValue(const NodeView& node, uint64_t index) {
  const uint64_t row = Divide(index, node.columns), column = index - row * node.columns.divisor;
  const uint64_t group = Divide(row, node.group_rows) * node.groups_across + Divide(column, node.group_columns);
  const GroupValues g = {LeafOperand(node.operands[kScale], group), LeafOperand(node.operands[kZeroPoint], group),
                         LeafOperand(node.operands[kOffset], group)};
  return Grouped(node, g, EntryOf(node, CodeAt(node, 0, index)));
}

INGOT_DEVICE float GroupOperand(const MatrixView& m, OperandNumber number, uint64_t group) {
  const OperandView& operand = m.root.operands[number];
  return operand.form == kNested ? NestedValue(m.nested[number], group) : LeafOperand(operand, group);
}

INGOT_DEVICE GroupValues GroupOperands(const MatrixView& m, uint64_t group) {
  return {GroupOperand(m, kScale, group), GroupOperand(m, kZeroPoint, group), GroupOperand(m, kOffset, group)};
}

// The operation with t, if there is one. `column` is the logical one.
INGOT_DEVICE float ColumnScaled(const MatrixView& m, uint64_t column, float w) {
  if (m.t.form == kAbsent) return w;
  return RoundTo(m.root.arithmetic, Multiply(w, LeafOperand(m.t, column)));
}

// The value at a logical position, but for outliers and the rounding to the result type.
INGOT_DEVICE float ElementValue(const MatrixView& m, uint64_t row, uint64_t column) {
  const uint64_t stored =
      m.stored_column != nullptr ? LoadGlobal<uint32_t>(Bytes(m.stored_column, 4 * column)) : column;
  const uint64_t group = Divide(row, m.root.group_rows) * m.root.groups_across + Divide(stored, m.root.group_columns);
  const float entry = EntryOf(m.root, CodeAt(m.root, row * m.row_units, stored));
  return ColumnScaled(m, column, Grouped(m.root, GroupOperands(m, group), entry));
}

// ---- output types: kPiece values make a store of 16 bytes

struct F32Out {
  using Element = uint32_t;
  static constexpr Type kType = kF32;
  static constexpr uint32_t kPiece = 4;
  static INGOT_DEVICE uint32_t Narrow(float w) { return AsBits(w); }
  static INGOT_DEVICE Words4 Pack(const float* w) { return {{AsBits(w[0]), AsBits(w[1]), AsBits(w[2]), AsBits(w[3])}}; }
};
struct F16Out {
  using Element = uint16_t;
  static constexpr Type kType = kF16;
  static constexpr uint32_t kPiece = 8;
  static INGOT_DEVICE uint16_t Narrow(float w) { return F32AsF16(w); }
  static INGOT_DEVICE Words4 Pack(const float* w) {
    return {{F32sAsF16s(w[0], w[1]), F32sAsF16s(w[2], w[3]), F32sAsF16s(w[4], w[5]), F32sAsF16s(w[6], w[7])}};
  }
};
struct BF16Out {
  using Element = uint16_t;
  static constexpr Type kType = kBF16;
  static constexpr uint32_t kPiece = 8;
  static INGOT_DEVICE uint16_t Narrow(float w) { return F32AsBF16(w); }
  static INGOT_DEVICE Words4 Pack(const float* w) {
    return {{F32sAsBF16s(w[0], w[1]), F32sAsBF16s(w[2], w[3]), F32sAsBF16s(w[4], w[5]), F32sAsBF16s(w[6], w[7])}};
  }
};

}  // namespace ingot::cuda

// Linear encodings as plain numbers: made at random, packed by the rule of the specification, evaluated by its formula.
// Shares no code with the kernels but the rounding of f32 to the narrow types.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "format/encoding.h"

namespace ingot::test {

using Bytes = std::vector<std::byte>;

// NaN equals NaN, everything else by its bits.
inline bool SameFloat(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}
inline size_t CountDifferences(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  size_t wrong = 0;
  for (size_t i = 0; i < a.size(); ++i) wrong += !SameFloat(a[i], b[i]);
  return wrong;
}

inline void AppendFloat(Bytes& out, DType type, float value) {
  if (type == DType::kF32) Append(out, value);
  if (type == DType::kF16) Append(out, F32ToF16(value));
  if (type == DType::kBF16) Append(out, F32ToBF16(value));
}

// The plane of one field, bit by bit: rows of `cols` codes.
inline Bytes PackByRule(const std::vector<uint8_t>& codes, uint64_t rows, uint64_t cols, unsigned width,
                        unsigned shift) {
  const uint64_t row_bytes = (cols + 63) / 64 * 8 * width;
  Bytes plane(rows * row_bytes);
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      const unsigned field = (codes[r * cols + c] >> shift) & ((1u << width) - 1);
      const uint64_t j = c % 64, byte = r * row_bytes + c / 64 * 8 * width + j % (8 * width);
      plane[byte] |= static_cast<std::byte>(field << (width * (j / (8 * width))));
    }
  }
  return plane;
}

// The numbers of one linear encoding.
struct Numbers {
  struct Group {               // of s, z or o
    std::vector<float> array;  // if it is one
    std::shared_ptr<Numbers> nested;
  };
  Linear linear;
  bool nested = false;
  std::vector<uint8_t> codes;  // row-major, stored columns
  std::vector<float> codebook;
  std::array<Group, 3> groups;  // s, z, o
  std::vector<float> t;
  std::vector<uint32_t> permutation;  // stored -> logical column
  std::vector<uint64_t> starts;       // unstructured outliers
  std::vector<uint32_t> outlier_columns;
  std::vector<float> outlier_values;

  const Operand& operand(int i) const { return i == 0 ? linear.s : i == 1 ? linear.z : linear.o; }

  // The planes in the order of the specification.
  std::vector<Bytes> Planes() const {
    static const std::array<std::vector<unsigned>, 9> kFields = {
        {{}, {1}, {2}, {2, 1}, {4}, {4, 1}, {4, 2}, {4, 2, 1}, {8}}};
    std::vector<Bytes> planes;
    unsigned shift = 0;
    for (unsigned width : kFields[static_cast<size_t>(linear.bits)]) {
      planes.push_back(nested ? PackByRule(codes, 1, codes.size(), width, shift)
                              : PackByRule(codes, linear.rows, linear.cols, width, shift));
      shift += width;
    }
    const auto add_floats = [&](const std::vector<float>& values, DType type) {
      planes.emplace_back();
      for (float v : values) AppendFloat(planes.back(), type, v);
    };
    if (linear.codebook) add_floats(codebook, DType::kF32);
    for (int i = 0; i < 3; ++i) {
      if (operand(i).form == OperandForm::kArray) add_floats(groups[static_cast<size_t>(i)].array, operand(i).type);
    }
    if (linear.t.form == OperandForm::kArray) add_floats(t, linear.t.type);
    if (linear.permutation) {
      planes.emplace_back();
      for (uint32_t p : permutation) Append(planes.back(), p);
    }
    if (linear.outliers == OutlierForm::kUnstructured) {
      planes.emplace_back();
      for (uint64_t start : starts) Append(planes.back(), start);
    }
    if (linear.outliers != OutlierForm::kNone) {
      planes.emplace_back();
      for (uint32_t c : outlier_columns) {
        if (linear.cols <= 65536) Append(planes.back(), static_cast<uint16_t>(c));
        if (linear.cols > 65536) Append(planes.back(), c);
      }
      add_floats(outlier_values, linear.outlier_type);
    }
    return planes;
  }

  float GroupValue(int i, uint64_t group) const {
    const Operand& o = operand(i);
    if (o.form == OperandForm::kConstant) return o.constant;
    const Group& g = groups[static_cast<size_t>(i)];
    return o.form == OperandForm::kArray
               ? g.array[group]
               : g.nested->Value(group / g.nested->linear.cols, group % g.nested->linear.cols);
  }

  // The outlier at a logical position, if one is stored there.
  const float* OutlierAt(uint64_t r, uint64_t c) const {
    const bool sparse = linear.outliers == OutlierForm::kUnstructured;
    if (linear.outliers == OutlierForm::kNone) return nullptr;
    const uint64_t first = sparse ? starts[r] : 0, last = sparse ? starts[r + 1] : outlier_columns.size();
    for (uint64_t i = first; i < last; ++i) {
      if (outlier_columns[i] == c) return &outlier_values[sparse ? i : r * outlier_columns.size() + i];
    }
    return nullptr;
  }

  // The formula, one operation at a time.
  float Value(uint64_t r, uint64_t c) const {
    uint64_t j = c;
    if (linear.permutation)
      j = static_cast<uint64_t>(std::find(permutation.begin(), permutation.end(), c) - permutation.begin());
    const uint8_t q = codes[r * linear.cols + j];
    const uint64_t across = (linear.cols + linear.group_cols - 1) / linear.group_cols;
    const uint64_t group = (r / linear.group_rows) * across + j / linear.group_cols;
    const auto round = [&](float v) { return RoundTo(linear.arithmetic, v); };
    float w = linear.codebook ? codebook[q] : static_cast<float>(q);
    if (linear.z.form != OperandForm::kAbsent) w = round(w - GroupValue(1, group));
    if (linear.s.form != OperandForm::kAbsent) w = round(GroupValue(0, group) * w);
    if (linear.o.form != OperandForm::kAbsent) w = round(w - GroupValue(2, group));
    if (linear.t.form == OperandForm::kConstant) w = round(w * linear.t.constant);
    if (linear.t.form == OperandForm::kArray) w = round(w * t[c]);
    if (const float* h = OutlierAt(r, c)) w = round(w + *h);
    return RoundTo(linear.result, w);
  }

  std::vector<float> Values() const {
    std::vector<float> out;
    for (uint64_t r = 0; r < linear.rows; ++r) {
      for (uint64_t c = 0; c < linear.cols; ++c) out.push_back(Value(r, c));
    }
    return out;
  }
};

// Numbers at random that fit a linear encoding; those of nested operands get encodings of their own.
class Dice {
 public:
  explicit Dice(unsigned seed, bool specials = true) : random_(seed), specials_(specials) {}

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool Half() { return Below(2) != 0; }
  DType Type() { return static_cast<DType>(Below(3)); }

  // Of all magnitudes, and now and then something special.
  float Float(DType type) {
    static const float kSpecial[] = {0.0f,
                                     -0.0f,
                                     1.0f,
                                     65504.0f,
                                     -65520.0f,
                                     6e-8f,
                                     1e-41f,
                                     -3e38f,
                                     std::numeric_limits<float>::infinity(),
                                     std::numeric_limits<float>::quiet_NaN()};
    if (specials_ && Below(40) == 0) return RoundTo(type, kSpecial[Below(10)]);
    return RoundTo(type, std::ldexp(normal_(random_), static_cast<int>(Below(9)) - 6));
  }
  std::vector<float> Floats(uint64_t count, DType type) {
    std::vector<float> out(count);
    do {
      for (float& f : out) f = Float(type);
    } while (count > 1 && std::all_of(out.begin(), out.end(), [&](float f) { return SameFloat(f, out[0]); }));
    return out;
  }
  float Constant(float neutral) {
    float v;
    do {
      v = Float(DType::kF32);
    } while (std::bit_cast<uint32_t>(v) == std::bit_cast<uint32_t>(neutral));
    return v;
  }

  Operand AnyOperand(uint64_t groups, bool may_nest, float neutral) {
    switch (Below(groups > 1 ? (may_nest ? 4 : 3) : 2)) {
      case 1:
        return Operand::Constant(Constant(neutral));
      case 2:
        return Operand::Array(Type());
      case 3:
        return Operand::Nested();
      default:
        return {};
    }
  }

  // An encoding of a `rows` by `cols` view.
  Linear AnyLinear(uint64_t rows, uint64_t cols, bool nested) {
    Linear l;
    l.bits = static_cast<int>(1 + Below(8));
    l.arithmetic = Type();
    l.codebook = Half();
    l.rows = rows, l.cols = cols;
    l.group_rows = Half() ? 1 : 1 + Below(rows), l.group_cols = 1 + Below(cols);
    l.s = AnyOperand(l.group_count(), !nested, 1.0f), l.z = AnyOperand(l.group_count(), !nested, 0.0f),
    l.o = AnyOperand(l.group_count(), !nested, 0.0f);
    if (nested) return l;
    l.result = Type();
    l.t = AnyOperand(cols, false, 1.0f);
    l.permutation = cols > 1 && Below(3) == 0;
    l.outliers = static_cast<OutlierForm>(Below(3));
    if (l.outliers != OutlierForm::kNone) {
      l.outlier_type = Type();
      l.outlier_count = 1 + Below(l.outliers == OutlierForm::kColumns ? cols : rows * cols);
    }
    return l;
  }

  Numbers Fill(const Linear& l, bool nested = false) {
    Numbers n;
    n.linear = l;
    n.nested = nested;
    n.codes.resize(l.rows * l.cols);
    do {
      for (uint8_t& q : n.codes) q = static_cast<uint8_t>(Below(uint64_t{1} << l.bits));
    } while (nested && n.codes.size() > 1 &&
             std::all_of(n.codes.begin(), n.codes.end(), [&](uint8_t q) { return q == n.codes[0]; }));
    if (l.codebook) n.codebook = Floats(uint64_t{1} << l.bits, DType::kF32);
    for (int i = 0; i < 3; ++i) {
      auto& group = n.groups[static_cast<size_t>(i)];
      if (n.operand(i).form == OperandForm::kArray) group.array = Floats(l.group_count(), n.operand(i).type);
      if (n.operand(i).form == OperandForm::kNested) {
        const bool flat = Half();
        group.nested = std::make_shared<Numbers>(
            Fill(AnyLinear(flat ? 1 : l.groups_down(), flat ? l.group_count() : l.groups_across(), true), true));
      }
    }
    if (l.t.form == OperandForm::kArray) n.t = Floats(l.cols, l.t.type);
    if (l.permutation) {
      n.permutation.resize(l.cols);
      std::iota(n.permutation.begin(), n.permutation.end(), 0u);
      while (std::is_sorted(n.permutation.begin(), n.permutation.end()))
        std::shuffle(n.permutation.begin(), n.permutation.end(), random_);
    }
    FillOutliers(n);
    return n;
  }

 private:
  void FillOutliers(Numbers& n) {
    const Linear& l = n.linear;
    if (l.outliers == OutlierForm::kColumns) {
      std::vector<uint32_t> all(l.cols);
      std::iota(all.begin(), all.end(), 0u);
      std::sample(all.begin(), all.end(), std::back_inserter(n.outlier_columns),
                  static_cast<std::ptrdiff_t>(l.outlier_count), random_);
      n.outlier_values = Floats(l.rows * l.outlier_count, l.outlier_type);
    } else if (l.outliers == OutlierForm::kUnstructured) {
      std::vector<uint64_t> all(l.rows * l.cols), some;
      std::iota(all.begin(), all.end(), uint64_t{0});
      std::sample(all.begin(), all.end(), std::back_inserter(some), static_cast<std::ptrdiff_t>(l.outlier_count),
                  random_);
      n.starts.assign(l.rows + 1, 0);
      for (uint64_t i : some) {
        for (uint64_t r = i / l.cols; r < l.rows; ++r) ++n.starts[r + 1];
        n.outlier_columns.push_back(static_cast<uint32_t>(i % l.cols));
      }
      n.outlier_values = Floats(l.outlier_count, l.outlier_type);
    }
  }

  std::mt19937 random_;
  std::normal_distribution<float> normal_;
  bool specials_;
};

// Calls use(numbers) for every width with group sizes around the packing unit, zero-points nested.
template <class Use>
void ForWidthsAndGroups(Dice& dice, const Use& use) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (uint64_t group : {1, 3, 32, 63, 64, 65, 128, 300}) {
      Linear l;
      l.bits = bits, l.rows = 2, l.cols = 300, l.group_rows = 1, l.group_cols = group;
      l.s = Operand::Array(DType::kF16);
      l.z = Operand::Nested();
      use(dice.Fill(l));
    }
  }
}

}  // namespace ingot::test

#include "format/encoding.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace ingot {
namespace {

bool Same(const Operand& a, const Operand& b) {
  return a.form == b.form && a.type == b.type && a.constant == b.constant;
}

Linear Random(std::mt19937& random) {
  const auto pick = [&](uint64_t below) { return random() % below; };
  const auto type = [&] { return static_cast<DType>(pick(3)); };
  const auto operand = [&](uint64_t forms) {
    switch (pick(forms)) {
      case 1:
        return Operand::Constant(static_cast<float>(pick(1000)) - 499.5f);
      case 2:
        return Operand::Array(type());
      case 3:
        return Operand::Nested();
      default:
        return Operand{};
    }
  };
  Linear l;
  l.bits = static_cast<int>(1 + pick(8));
  l.arithmetic = type(), l.result = type();
  l.codebook = pick(2) != 0, l.permutation = pick(2) != 0;
  l.rows = 1 + pick(9), l.cols = 1 + pick(300);
  l.group_rows = 1 + pick(l.rows), l.group_cols = 1 + pick(l.cols);
  l.s = operand(4), l.z = operand(4), l.o = operand(4), l.t = operand(3);
  l.outliers = static_cast<OutlierForm>(pick(3));
  if (l.outliers != OutlierForm::kNone) {
    l.outlier_type = type();
    l.outlier_count = 1 + pick(l.outliers == OutlierForm::kColumns ? l.cols : l.rows * l.cols);
  }
  return l;
}

TEST_CASE("payloads of random encodings come back") {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    const Linear a = Random(random);
    const std::vector<std::byte> payload = EncodeLinear(a);
    REQUIRE(payload.size() == kLinearPayloadSize);
    const Linear b = DecodeLinear(payload);
    const bool same =
        a.bits == b.bits && a.arithmetic == b.arithmetic && a.result == b.result && a.codebook == b.codebook &&
        a.permutation == b.permutation && a.outliers == b.outliers && a.outlier_type == b.outlier_type &&
        a.rows == b.rows && a.cols == b.cols && a.group_rows == b.group_rows && a.group_cols == b.group_cols &&
        a.outlier_count == b.outlier_count && Same(a.s, b.s) && Same(a.z, b.z) && Same(a.o, b.o) && Same(a.t, b.t);
    REQUIRE(same);
    REQUIRE(EncodeLinear(b) == payload);
  }
}

TEST_CASE("the payload has its fields at the places of the specification") {
  Linear l;
  l.bits = 5;
  l.arithmetic = DType::kBF16, l.result = DType::kF16;
  l.codebook = l.permutation = true;
  l.outliers = OutlierForm::kColumns, l.outlier_type = DType::kBF16, l.outlier_count = 0x55;
  l.rows = 0x11, l.cols = 0x22, l.group_rows = 0x33, l.group_cols = 0x44;
  l.s = Operand::Array(DType::kF16), l.z = Operand::Nested(), l.o = Operand::Constant(-2.0f),
  l.t = Operand::Array(DType::kBF16);
  const std::vector<std::byte> p = EncodeLinear(l);
  const int bytes[] = {5, 2, 1, 1, 1, 2, 2, 0};
  for (size_t i = 0; i < 8; ++i) CHECK(std::to_integer<int>(p[i]) == bytes[i]);
  for (size_t i = 0; i < 5; ++i) CHECK(Load<uint64_t>(p.data() + 8 + 8 * i) == 0x11 * (i + 1));
  const uint64_t operands[] = {0x0102, 0x0003, 0xC000000000000001u, 0x0202};
  for (size_t i = 0; i < 4; ++i) CHECK(Load<uint64_t>(p.data() + 48 + 8 * i) == operands[i]);
}

// The table of section 2.2, by itself.
std::vector<uint64_t> SizesByTable(const Linear& l, bool nested) {
  static const std::vector<uint64_t> kFields[] = {{1}, {2}, {2, 1}, {4}, {4, 1}, {4, 2}, {4, 2, 1}, {8}};
  const auto up = [](uint64_t a, uint64_t b) { return (a + b - 1) / b; };
  const uint64_t groups = up(l.rows, l.group_rows) * up(l.cols, l.group_cols);
  const auto size_of = [](DType type) { return type == DType::kF32 ? 4u : 2u; };
  std::vector<uint64_t> sizes;
  for (uint64_t f : kFields[l.bits - 1]) {
    sizes.push_back(nested ? up(l.rows * l.cols, 64) * 8 * f : l.rows * up(l.cols, 64) * 8 * f);
  }
  if (l.codebook) sizes.push_back(4u << l.bits);
  for (const Operand* o : {&l.s, &l.z, &l.o}) {
    if (o->form == OperandForm::kArray) sizes.push_back(groups * size_of(o->type));
  }
  if (l.t.form == OperandForm::kArray) sizes.push_back(l.cols * size_of(l.t.type));
  if (l.permutation) sizes.push_back(4 * l.cols);
  if (l.outliers == OutlierForm::kUnstructured) sizes.push_back(8 * (l.rows + 1));
  if (l.outliers != OutlierForm::kNone) {
    sizes.push_back(l.outlier_count * (l.cols <= 65536 ? 2 : 4));
    sizes.push_back((l.outliers == OutlierForm::kColumns ? l.rows : 1) * l.outlier_count * size_of(l.outlier_type));
  }
  return sizes;
}

void CheckSizes(const Linear& l, bool nested) {
  std::vector<uint64_t> sizes;
  for (const PlaneSpec& spec : PlanesOf(l, nested)) {
    sizes.push_back(spec.size);
    CHECK(spec.size % spec.element_size == 0);
    CHECK((spec.role == PlaneRole::kCodes) == (spec.field_width != 0));
  }
  CHECK(sizes == SizesByTable(l, nested));
}

TEST_CASE("planes have the sizes of the specification, for all bits, nested or not") {
  for (int bits = 1; bits <= 8; ++bits) {
    for (uint64_t cols : {1, 63, 64, 65, 128, 65536, 65537}) {
      for (uint64_t rows : {1, 3}) {
        for (bool nested : {false, true}) {
          Linear l;
          l.bits = bits, l.rows = rows, l.cols = cols, l.group_rows = 1, l.group_cols = std::min<uint64_t>(cols, 64);
          l.codebook = true;
          l.s = Operand::Array(DType::kF16);
          CheckSizes(l, nested);
          if (nested) continue;
          l.permutation = true;
          l.t = Operand::Array(DType::kF32);
          l.outliers = OutlierForm::kColumns, l.outlier_count = 1;
          CheckSizes(l, false);
        }
      }
    }
  }
  std::mt19937 random(2);
  for (int i = 0; i < 1000; ++i) CheckSizes(Random(random), i % 2 == 0);
}

TEST_CASE("groups: ragged ones count, nested operands are the children") {
  Linear l;
  l.rows = 5, l.cols = 10, l.group_rows = 2, l.group_cols = 4;
  CHECK(l.groups_down() == 3);
  CHECK(l.groups_across() == 3);
  CHECK(l.group_count() == 9);
  CHECK(l.child_count() == 0);
  l.s = l.o = Operand::Nested();
  CHECK(l.child_count() == 2);
  l.z = Operand::Nested();
  CHECK(l.child_count() == 3);
  l.cols = 65536;
  CHECK(l.column_bytes() == 2);
  l.cols = 65537;
  CHECK(l.column_bytes() == 4);
}

TEST_CASE("foreign payloads come back") {
  const std::vector<std::byte> payload = EncodeForeign({18, 32, uint64_t{1} << 40, "q4_0"});
  CHECK(payload.size() == kForeignPayloadSize + 4);
  const Foreign f = DecodeForeign(payload);
  CHECK(f.block_bytes == 18);
  CHECK(f.block_elements == 32);
  CHECK(f.elements == uint64_t{1} << 40);
  CHECK(f.name == "q4_0");
}

TEST_CASE("encodings in a few words") {
  Linear l;
  l.bits = 4, l.rows = 8, l.cols = 256, l.group_rows = 1, l.group_cols = 128;
  CHECK(Describe(l, {}) == "4-bit");
  l.s = Operand::Array(DType::kF16), l.z = Operand::Constant(8);
  CHECK(Describe(l, {}) == "4-bit g128 s F16 z=8");
  Linear child;
  child.bits = 4, child.rows = 8, child.cols = 2;
  l.z = Operand::Nested();
  CHECK(Describe(l, {child}) == "4-bit g128 s F16 z (4-bit)");
  l.group_rows = 2;
  CHECK(Describe(l, {child}) == "4-bit g2x128 s F16 z (4-bit)");
  l.group_rows = 1, l.group_cols = 256, l.z = {};
  CHECK(Describe(l, {}) == "4-bit per channel s F16");
  l.group_rows = 8, l.codebook = true;
  CHECK(Describe(l, {}) == "4-bit codebook per tensor s F16");
  l.s = Operand::Constant(0.5f), l.codebook = false;
  l.outliers = OutlierForm::kUnstructured, l.outlier_count = 20;
  CHECK(Describe(l, {}) == "4-bit s=0.5 +0.977% outliers F32");
  l.outliers = OutlierForm::kColumns, l.outlier_type = DType::kF16, l.outlier_count = 3;
  l.permutation = true, l.arithmetic = DType::kBF16, l.result = DType::kF16;
  l.o = Operand::Constant(1), l.t = Operand::Array(DType::kF32);
  CHECK(Describe(l, {}) == "4-bit s=0.5 o=1 t F32 permuted +3 outlier columns F16 in BF16 to F16");
}

}  // namespace
}  // namespace ingot

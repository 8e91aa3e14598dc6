// The scalar meaning of the encodings, against an evaluation of the formula that shares no code with it
// (tests/support/formula.h).
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "format/packing.h"
#include "kernels/matrix.h"
#include "tests/support/formula.h"
#include "tests/support/owned_matrix.h"

namespace ingot::test {
namespace {

std::vector<float> DecodeRange(const OwnedMatrix& m, uint64_t first, uint64_t count) {
  std::vector<float> out(count);
  reference::DecodeElements(m.matrix, first, count, out.data());
  return out;
}

std::vector<float> DecodeAll(const OwnedMatrix& m) {
  return DecodeRange(m, 0, m.matrix.linear.rows * m.matrix.linear.cols);
}

// Decodes the whole, and pieces of it, and compares both with the formula.
void CheckNumbers(const Numbers& n, Dice& dice) {
  const std::vector<float> expected = n.Values();
  const OwnedMatrix m(n);
  CAPTURE(Describe(n.linear, {}));
  REQUIRE(CountDifferences(DecodeAll(m), expected) == 0);
  for (int i = 0; i < 4; ++i) {
    const uint64_t first = dice.Below(expected.size()), count = 1 + dice.Below(expected.size() - first);
    const auto from = expected.begin() + static_cast<std::ptrdiff_t>(first);
    REQUIRE(CountDifferences(DecodeRange(m, first, count), {from, from + static_cast<std::ptrdiff_t>(count)}) == 0);
  }
  std::vector<uint8_t> codes(n.codes.size());
  reference::UnpackCodes(m.matrix, 0, codes.size(), codes.data());
  REQUIRE(codes == n.codes);
}

Linear Plain(int bits, uint64_t rows, uint64_t cols, uint64_t group_cols) {
  Linear l;
  l.bits = bits, l.rows = rows, l.cols = cols, l.group_rows = 1, l.group_cols = group_cols;
  return l;
}

TEST_CASE("planes at random have the sizes that the encoding asks for") {
  Dice dice(1);
  for (int i = 0; i < 300; ++i) {
    const Numbers n = dice.Fill(dice.AnyLinear(1 + dice.Below(5), 1 + dice.Below(150), false));
    const std::vector<PlaneSpec> specs = PlanesOf(n.linear, false);
    const std::vector<Bytes> planes = n.Planes();
    REQUIRE(planes.size() == specs.size());
    for (size_t p = 0; p < specs.size(); ++p) REQUIRE(planes[p].size() == specs[p].size);
  }
}

TEST_CASE("all codes of all widths, packed by the library, flat or in rows") {
  for (int bits = 1; bits <= 8; ++bits) {
    const uint64_t all = uint64_t{1} << bits;
    for (uint64_t cols : {all, all + 1, uint64_t{63}, uint64_t{64}, uint64_t{65}, uint64_t{200}}) {
      for (bool nested : {false, true}) {
        const uint64_t rows = 3, row_cols = nested ? rows * cols : cols;
        std::vector<uint8_t> codes(rows * cols);
        for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i % all);
        std::vector<Bytes> planes;
        for (const PlaneSpec& spec : PlanesOf(Plain(bits, rows, cols, 1), nested)) planes.emplace_back(spec.size);
        for (uint64_t r = 0; r < (nested ? 1 : rows); ++r) {
          std::vector<std::byte*> fields;
          for (size_t f = 0; f < planes.size(); ++f)
            fields.push_back(planes[f].data() + r * PackedRowBytes(row_cols, FieldWidths(bits)[f]));
          PackRowScalar(codes.data() + r * row_cols, row_cols, bits, fields);
        }
        const EncodedMatrix m =
            EncodedMatrix::Make(Plain(bits, rows, cols, 1), nested, {planes.begin(), planes.end()}, {});
        std::vector<float> out(codes.size());
        reference::DecodeElements(m, 0, out.size(), out.data());
        for (size_t i = 0; i < codes.size(); ++i) REQUIRE(out[i] == static_cast<float>(codes[i]));
      }
    }
  }
}

TEST_CASE("thousands of encodings at random") {
  Dice dice(2);
  for (int i = 0; i < 3000; ++i) {
    const uint64_t rows = 1 + dice.Below(6), cols = dice.Half() ? 1 + dice.Below(20) : 1 + dice.Below(140);
    CheckNumbers(dice.Fill(dice.AnyLinear(rows, cols, false)), dice);
  }
}

TEST_CASE("every form of every operand, in every arithmetic and result") {
  Dice dice(3);
  std::vector<Operand> forms = {{}, Operand::Constant(0.375f), Operand::Nested()};
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) forms.push_back(Operand::Array(type));
  for (const Operand& s : forms) {
    for (const Operand& z : forms) {
      for (const Operand& o : forms) {
        Linear l = Plain(3, 5, 21, 8);
        l.group_rows = 2;
        l.s = s, l.z = z, l.o = o;
        l.arithmetic = dice.Type(), l.result = dice.Type();
        l.codebook = dice.Half();
        l.t = forms[dice.Half() ? 1 : 3 + dice.Below(3)];
        CheckNumbers(dice.Fill(l), dice);
      }
    }
  }
}

TEST_CASE("views of one row, groups across rows of the tensor, one column, one element") {
  Dice dice(4);
  for (const auto& [rows, cols, group_rows, group_cols] : std::vector<std::array<uint64_t, 4>>{{1, 500, 1, 64},
                                                                                               {1, 500, 1, 500},
                                                                                               {1, 500, 1, 7},
                                                                                               {64, 5, 64, 1},
                                                                                               {64, 5, 17, 2},
                                                                                               {33, 1, 16, 1},
                                                                                               {1, 1, 1, 1},
                                                                                               {7, 129, 7, 129}}) {
    for (int bits = 1; bits <= 8; ++bits) {
      Linear l = Plain(bits, rows, cols, group_cols);
      l.group_rows = group_rows;
      l.s = l.group_count() > 1 ? Operand::Array(DType::kF16) : Operand::Constant(0.3f);
      l.z = l.group_count() > 1 ? Operand::Nested() : Operand::Constant(3);
      CheckNumbers(dice.Fill(l), dice);
    }
  }
}

TEST_CASE("every sub-range is the same part of the whole: permutation, column scales and outliers of both kinds") {
  Dice dice(5);
  for (OutlierForm outliers : {OutlierForm::kUnstructured, OutlierForm::kColumns}) {
    Linear l = Plain(4, 3, 13, 5);
    l.s = Operand::Array(DType::kF16), l.z = Operand::Nested(), l.t = Operand::Array(DType::kF32);
    l.permutation = true;
    l.outliers = outliers, l.outlier_type = DType::kBF16, l.outlier_count = 6;
    const Numbers n = dice.Fill(l);
    const std::vector<float> expected = n.Values();
    const OwnedMatrix m(n);
    for (uint64_t first = 0; first <= expected.size(); ++first) {
      for (uint64_t count = 0; first + count <= expected.size(); ++count) {
        const auto from = expected.begin() + static_cast<std::ptrdiff_t>(first);
        REQUIRE(CountDifferences(DecodeRange(m, first, count), {from, from + static_cast<std::ptrdiff_t>(count)}) == 0);
      }
    }
  }
}

TEST_CASE("more than 65,536 columns: outlier columns of four bytes") {
  Dice dice(6, false);
  for (OutlierForm outliers : {OutlierForm::kUnstructured, OutlierForm::kColumns}) {
    Linear l = Plain(1, 2, 65600, 65600);
    l.outliers = outliers, l.outlier_count = 5;
    Numbers n = dice.Fill(l);
    n.outlier_columns.back() = 65599;
    const OwnedMatrix m(n);
    CHECK(CountDifferences(DecodeAll(m), n.Values()) == 0);
  }
}

TEST_CASE("operands of groups by number; absent ones are neutral") {
  Dice dice(7);
  Linear l = Plain(4, 4, 10, 4);
  l.s = Operand::Array(DType::kBF16), l.o = Operand::Nested();
  const Numbers n = dice.Fill(l);
  const OwnedMatrix m(n);
  for (uint64_t g = 0; g < l.group_count(); ++g) {
    CHECK(SameFloat(reference::GroupOperand(m.matrix, 0, g), n.GroupValue(0, g)));
    CHECK(reference::GroupOperand(m.matrix, 1, g) == 0.0f);
    CHECK(SameFloat(reference::GroupOperand(m.matrix, 2, g), n.GroupValue(2, g)));
  }
  CHECK(reference::GroupOperand(OwnedMatrix(dice.Fill(Plain(4, 1, 1, 1))).matrix, 0, 0) == 1.0f);
}

// ---- the worked examples of spec/ENCODINGS.md, section 7, byte for byte

Bytes FromHex(const std::string& hex, size_t size) {
  Bytes out;
  for (size_t i = 0; i + 1 < hex.size(); i += 3)
    out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  out.resize(size);
  return out;
}

EncodedMatrix Matrix(const Linear& l, const std::vector<Bytes>& planes, std::vector<EncodedMatrix> children = {},
                     bool nested = false) {
  return EncodedMatrix::Make(l, nested, {planes.begin(), planes.end()}, std::move(children));
}

std::vector<float> Decode(const EncodedMatrix& m) {
  std::vector<float> out(m.linear.rows * m.linear.cols);
  DecodeElements(m, 0, out.size(), out.data());
  return out;
}

TEST_CASE("7.1: four bits, two groups") {
  Linear l = Plain(4, 1, 4, 2);
  l.s = Operand::Array(DType::kF16), l.z = Operand::Constant(8);
  const std::vector<Bytes> planes = {FromHex("08 0f 00 09 ", 32), FromHex("00 38 00 34 ", 4)};
  CHECK(Decode(Matrix(l, planes)) == std::vector<float>{0, 3.5, -2, 0.25});
}

TEST_CASE("7.2: three bits") {
  const std::vector<Bytes> three = {FromHex("01 02 03 ", 16), FromHex("01 00 01 ", 8)};
  CHECK(Decode(Matrix(Plain(3, 1, 3, 3), three)) == std::vector<float>{5, 2, 7});
  const std::vector<Bytes> more = {FromHex("01 0a 03 ", 16), FromHex("01 04 01 ", 8)};
  const std::vector<float> values = Decode(Matrix(Plain(3, 1, 18, 18), more));
  CHECK(values[0] == 5);
  CHECK(values[1] == 2);
  CHECK(values[2] == 7);
  CHECK(values[17] == 6);
  CHECK(std::count(values.begin(), values.end(), 0.0f) == 14);
}

TEST_CASE("7.3: a nested zero-point") {
  Linear l = Plain(4, 2, 256, 128);
  l.z = Operand::Nested();
  const std::vector<Bytes> child_planes = {FromHex("07 08 09 08 ", 32)}, planes = {Bytes(2 * 4 * 32)};
  const EncodedMatrix m = Matrix(l, planes, {Matrix(Plain(4, 2, 2, 2), child_planes, {}, true)});
  const std::vector<float> values = Decode(m);
  const float expected[] = {-7, -8, -9, -8};
  for (size_t i = 0; i < values.size(); ++i) REQUIRE(values[i] == expected[i / 128]);
}

TEST_CASE("7.4: why each operation rounds") {
  Linear l = Plain(2, 1, 1, 1);
  l.arithmetic = DType::kBF16;
  l.s = Operand::Constant(0.10205078125f), l.o = Operand::Constant(0.0986328125f);
  const std::vector<Bytes> planes = {FromHex("03 ", 16)};
  CHECK(Decode(Matrix(l, planes)) == std::vector<float>{0.2080078125f});
  l.arithmetic = DType::kF32, l.result = DType::kBF16;
  CHECK(Decode(Matrix(l, planes)) == std::vector<float>{0.20703125f});
}

TEST_CASE("7.5: an outlier") {
  Linear l = Plain(4, 1, 2, 2);
  l.s = Operand::Constant(0.5f), l.z = Operand::Constant(8);
  l.outliers = OutlierForm::kUnstructured, l.outlier_type = DType::kF16, l.outlier_count = 1;
  const std::vector<Bytes> planes = {FromHex("08 09 ", 32), FromHex("00 00 00 00 00 00 00 00 01 ", 16),
                                     FromHex("00 00 ", 2), FromHex("a8 50 ", 2)};
  CHECK(Decode(Matrix(l, planes)) == std::vector<float>{37.25f, 0.5f});
}

}  // namespace
}  // namespace ingot::test

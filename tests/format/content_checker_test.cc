#include "format/content_checker.h"

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/formula.h"
#include "tests/support/image_builder.h"

namespace ingot::test {
namespace {

using Rules = std::vector<std::string>;

// An index with one encoding and its children, and the planes it speaks of. Planes may be changed before they are
// looked at: the hashes of chunks are nobody's business here.
class File {
 public:
  explicit File(const Numbers& n) {
    IndexBuilder builder;
    const uint32_t root = Add(builder, n);
    builder.AddTensor("t", DType::kF32, std::vector<uint64_t>{n.linear.rows, n.linear.cols}, 0,
                      {{n.linear.rows, root}});
    const Bytes bytes = image_.Finish(builder);
    Report report;
    index_ = OpenIndex(bytes, image_.header(), report);
    for (const Violation& v : report.violations()) FAIL(v.rule, " ", v.place, ": ", v.message);
    root_ = static_cast<uint32_t>(index_->count(Table::kEncodings) - 1);
  }

  // The bytes of the first plane of that role, of the root or of child `child`.
  Bytes& Plane(PlaneRole role, int child = -1) {
    const uint32_t number =
        child < 0 ? root_ : root_ - index_->encoding(root_).child_count + static_cast<uint32_t>(child);
    const auto specs = PlanesOf(DecodeLinear(index_->payload(index_->encoding(number))), child >= 0);
    for (size_t i = 0; i < specs.size(); ++i) {
      if (specs[i].role == role) return planes_[index_->encoding(number).first_plane + i];
    }
    FAIL("no such plane");
    return planes_[0];
  }

  // The rules that the content breaks: the same for every size of chunks.
  Rules Check() const {
    std::optional<Rules> first;
    for (size_t chunk_size : {size_t{1} << 20, size_t{64}, size_t{256}, size_t{4096}}) {
      Report report;
      const ChunkWalk walk = [&](uint32_t plane, const std::function<bool(ByteSpan)>& use) {
        const ByteSpan bytes = planes_[plane];
        for (size_t at = 0; at < bytes.size(); at += chunk_size) {
          const size_t size = std::min(chunk_size, bytes.size() - at);
          const Bytes chunk(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                            bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
          if (!use(chunk)) break;
        }
        return true;
      };
      CheckContent(*index_, root_, "here", walk, report);
      Rules rules;
      for (const Violation& v : report.violations()) {
        CHECK(v.place.starts_with("here"));
        rules.emplace_back(v.rule);
      }
      if (first) CHECK(rules == *first);
      first = rules;
    }
    return *first;
  }

 private:
  uint32_t Add(IndexBuilder& builder, const Numbers& n) {
    std::vector<uint32_t> children;
    for (int i = 0; i < 3; ++i) {
      if (n.operand(i).form == OperandForm::kNested)
        children.push_back(Add(builder, *n.groups[static_cast<size_t>(i)].nested));
    }
    std::vector<WrittenPlane> written;
    for (const Bytes& plane : n.Planes()) {
      written.push_back(image_.Add(plane));
      planes_.push_back(plane);
    }
    return builder.AddEncoding(EncodingKind::kLinear, EncodeLinear(n.linear), written, children);
  }

  ImageBuilder image_;
  std::vector<Bytes> planes_;  // by their number in the file: the order of adding
  std::optional<Index> index_;
  uint32_t root_ = 0;
};

Linear Plain(int bits, uint64_t rows, uint64_t cols) {
  Linear l;
  l.bits = bits, l.rows = rows, l.cols = cols, l.group_rows = 1, l.group_cols = std::min<uint64_t>(cols, 16);
  return l;
}

TEST_CASE("encodings at random break no rule") {
  Dice dice(1);
  for (int i = 0; i < 500; ++i) {
    const Numbers n = dice.Fill(dice.AnyLinear(1 + dice.Below(6), 1 + dice.Below(300), false));
    CAPTURE(Describe(n.linear, {}));
    REQUIRE(File(n).Check().empty());
  }
}

TEST_CASE("R-PACK-1: every bit of padding, and no other") {
  Dice dice(2);
  for (int bits : {1, 2, 4}) {
    for (uint64_t cols : {1, 17, 63, 64, 65, 130}) {
      const Numbers n = dice.Fill(Plain(bits, 3, cols));
      File file(n);
      Bytes& plane = file.Plane(PlaneRole::kCodes);
      const uint64_t row_bytes = plane.size() / 3, unit = 8 * static_cast<uint64_t>(bits);
      for (size_t at = 0; at < plane.size(); ++at) {
        for (uint64_t bit = 0; bit < 8; bit += static_cast<uint64_t>(bits)) {
          const uint64_t column = at % row_bytes / unit * 64 + bit / static_cast<uint64_t>(bits) * unit + at % unit;
          plane[at] ^= static_cast<std::byte>(1u << bit);
          REQUIRE(file.Check() == (column < cols ? Rules{} : Rules{"R-PACK-1"}));
          plane[at] ^= static_cast<std::byte>(1u << bit);
        }
      }
    }
  }
  // The padding of a flat row of a nested encoding is only at its end; every field has some.
  Linear l = Plain(7, 5, 40);
  l.s = Operand::Nested();
  Numbers n = dice.Fill(l);
  n.groups[0].nested = std::make_shared<Numbers>(dice.Fill(Plain(7, 5, 3), true));
  File file(n);
  for (size_t at = 0; at < 32; ++at) {
    Bytes& plane = file.Plane(PlaneRole::kCodes, 0);
    plane[at] ^= std::byte{0x80};  // column 32 + at of 15
    CHECK(file.Check() == Rules{"R-PACK-1"});
    plane[at] ^= std::byte{0x80};
    plane[at] ^= std::byte{0x01};
    CHECK(file.Check() == (at < 15 ? Rules{} : Rules{"R-PACK-1"}));
    plane[at] ^= std::byte{0x01};
  }
}

TEST_CASE("R-LIN-7: arrays of equal bits, whatever they mean") {
  Dice dice(3, false);
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (PlaneRole role : {PlaneRole::kScales, PlaneRole::kZeroPoints, PlaneRole::kOffsets, PlaneRole::kColumnScales}) {
      Linear l = Plain(4, 300, 40);
      l.s = l.z = l.o = l.t = Operand::Array(type);
      File file(dice.Fill(l));
      REQUIRE(file.Check().empty());
      Bytes& plane = file.Plane(role);
      const size_t width = InfoOf(type).size;
      for (size_t at = width; at < plane.size(); ++at) plane[at] = plane[at - width];
      CHECK(file.Check() == Rules{"R-LIN-7"});
      plane.back() ^= std::byte{0x80};  // 0 and -0 differ too
      CHECK(file.Check().empty());
    }
  }
}

TEST_CASE("R-LIN-7: equal codes of a nested encoding are a constant, unless its own operands vary") {
  Dice dice(4);
  for (int bits = 1; bits <= 8; ++bits) {
    for (bool array : {false, true}) {
      Linear l = Plain(4, 30, 40), inner = Plain(bits, 30, 3);
      l.z = Operand::Nested();
      inner.group_cols = 3;
      inner.s = array ? Operand::Array(DType::kF32) : Operand::Constant(2);
      for (uint8_t code : {0, 1, (1 << bits) - 1}) {
        Numbers n = dice.Fill(l), nested = dice.Fill(inner, true);
        nested.codes.assign(nested.codes.size(), code);
        n.groups[1].nested = std::make_shared<Numbers>(nested);
        CHECK(File(n).Check() == (array ? Rules{} : Rules{"R-LIN-7"}));
        // One differing bit anywhere is enough.
        nested.codes[dice.Below(nested.codes.size())] ^= static_cast<uint8_t>(1 << (bits - 1));
        n.groups[1].nested = std::make_shared<Numbers>(nested);
        CHECK(File(n).Check().empty());
      }
    }
  }
}

TEST_CASE("R-PERM-1 and R-PERM-2: a bijection that is not the identity") {
  Dice dice(5);
  Linear l = Plain(4, 1, 200);
  l.permutation = true;
  File file(dice.Fill(l));
  REQUIRE(file.Check().empty());
  Bytes& plane = file.Plane(PlaneRole::kPermutation);
  const Bytes good = plane;
  const auto put = [&](size_t at, uint32_t value) { Store(plane.data() + 4 * at, value); };
  const auto get = [&](size_t at) { return Load<uint32_t>(good.data() + 4 * at); };
  for (size_t at : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{100}, size_t{199}}) {
    for (uint32_t value : {200u, 256u, 0xFFFFFFFFu, 0x80000000u, get((at + 1) % 200), get((at + 150) % 200)}) {
      put(at, value);
      CHECK(file.Check() == Rules{"R-PERM-1"});
      plane = good;
    }
  }
  for (uint32_t j = 0; j < 200; ++j) put(j, j);
  CHECK(file.Check() == Rules{"R-PERM-2"});
  put(198, 199), put(199, 198);
  CHECK(file.Check().empty());
}

TEST_CASE("R-OUT-1: row starts begin with 0, never descend, end with the count") {
  Dice dice(6);
  Linear l = Plain(4, 50, 20);
  l.outliers = OutlierForm::kUnstructured, l.outlier_count = 60;
  File file(dice.Fill(l));
  REQUIRE(file.Check().empty());
  Bytes& plane = file.Plane(PlaneRole::kOutlierRows);
  const Bytes good = plane;
  const auto refused_with = [&](size_t at, uint64_t value) {
    Store(plane.data() + 8 * at, value);
    const bool refused = file.Check() == Rules{"R-OUT-1"};
    plane = good;
    return refused;
  };
  CHECK(refused_with(0, 1));
  CHECK(refused_with(50, 59));
  CHECK(refused_with(50, 61));
  CHECK(refused_with(50, UINT64_MAX));
  for (size_t at : {size_t{1}, size_t{7}, size_t{8}, size_t{25}, size_t{49}}) {
    CHECK(refused_with(at, 61));
    CHECK(refused_with(at, UINT64_MAX));
    CHECK(refused_with(at, Load<uint64_t>(good.data() + 8 * (at + 1)) + 1));
    const uint64_t before = Load<uint64_t>(good.data() + 8 * (at - 1));
    if (before > 0) CHECK(refused_with(at, before - 1));
  }
}

TEST_CASE("R-OUT-2: columns ascend within each row and are below C") {
  // Row 0 has columns 3, 5, 19, row 1 none, row 2 column 0, row 3 columns 0 and 1, then a long row.
  Dice dice(7);
  Linear l = Plain(4, 5, 70);
  l.outliers = OutlierForm::kUnstructured, l.outlier_count = 66;
  Numbers n = dice.Fill(l);
  n.starts = {0, 3, 3, 4, 6, 66};
  n.outlier_columns = {3, 5, 19, 0, 0, 1};
  for (uint32_t c = 10; c < 70; ++c) n.outlier_columns.push_back(c);
  const auto check = [&](size_t at, uint32_t value) {
    Numbers changed = n;
    changed.outlier_columns[at] = value;
    return File(changed).Check();
  };
  const Rules bad = {"R-OUT-2"};
  CHECK(check(0, 3).empty());
  CHECK(check(0, 5) == bad);
  CHECK(check(1, 3) == bad);
  CHECK(check(1, 19) == bad);
  CHECK(check(2, 69).empty());
  CHECK(check(2, 70) == bad);
  CHECK(check(2, 65535) == bad);
  CHECK(check(3, 69).empty());
  CHECK(check(4, 1) == bad);
  CHECK(check(5, 0) == bad);
  CHECK(check(5, 69).empty());
  CHECK(check(6, 0).empty());
  CHECK(check(40, 43) == bad);
  CHECK(check(65, 68) == bad);
  CHECK(check(65, 70) == bad);
  // All outliers in the last row, rows without any in front and behind.
  n.starts = {0, 0, 0, 0, 0, 66};
  n.outlier_columns.assign(66, 0);
  for (uint32_t c = 0; c < 66; ++c) n.outlier_columns[c] = c + 4;
  CHECK(check(0, 0).empty());
  CHECK(check(1, 4) == bad);
  n.starts = {0, 66, 66, 66, 66, 66};
  CHECK(check(0, 0).empty());
  CHECK(check(65, 3) == bad);
}

TEST_CASE("R-OUT-2: whole columns") {
  Dice dice(8);
  for (uint64_t cols : {100, 65536, 65537}) {
    Linear l = Plain(1, 1, cols);
    l.outliers = OutlierForm::kColumns, l.outlier_count = 4;
    Numbers n = dice.Fill(l);
    const auto last = static_cast<uint32_t>(cols - 1);
    const auto check = [&](std::vector<uint32_t> columns) {
      n.outlier_columns = std::move(columns);
      return File(n).Check();
    };
    const Rules bad = {"R-OUT-2"};
    CHECK(check({0, 1, 2, last}).empty());
    CHECK(check({last - 3, last - 2, last - 1, last}).empty());
    CHECK(check({0, 1, 1, 2}) == bad);
    CHECK(check({1, 0, 2, 3}) == bad);
    CHECK(check({0, 1, 2, 0}) == bad);
    if (cols != 65536) CHECK(check({0, 1, 2, last + 1}) == bad);  // 65536 does not fit in two bytes
  }
}

TEST_CASE("planes of several real chunks: what is wrong in the last one is found") {
  Dice dice(9, false);
  Linear l = Plain(1, 3000, 65);  // 16 bytes a row in the codes; 8 * 3001 bytes of row starts
  l.group_cols = 1;
  l.s = Operand::Array(DType::kF32);  // 780,000 bytes
  l.rows = 6000;
  l.outliers = OutlierForm::kUnstructured, l.outlier_count = 1;
  Numbers n;
  n.linear = l;
  n.codes.assign(l.rows * l.cols, 1);
  n.groups[0].array.assign(l.group_count(), 2.0f);
  n.starts.assign(l.rows + 1, 1);
  n.starts[0] = 0;
  n.outlier_columns = {64};
  n.outlier_values = {5};
  File file(n);
  CHECK(file.Plane(PlaneRole::kScales).size() > kChunkSize);
  CHECK(file.Check() == Rules{"R-LIN-7"});
  file.Plane(PlaneRole::kScales).back() ^= std::byte{1};
  CHECK(file.Check().empty());
  file.Plane(PlaneRole::kCodes).back() ^= std::byte{0x80};
  CHECK(file.Check() == Rules{"R-PACK-1"});
}

TEST_CASE("a report that is full ends the checks") {
  Dice dice(10);
  Linear l = Plain(3, 4, 20);
  l.permutation = true;
  File file(dice.Fill(l));
  file.Plane(PlaneRole::kPermutation).assign(80, std::byte{0});
  file.Plane(PlaneRole::kCodes).back() = std::byte{0xFF};
  CHECK(file.Check() == Rules{"R-PACK-1", "R-PERM-1"});
}

}  // namespace
}  // namespace ingot::test

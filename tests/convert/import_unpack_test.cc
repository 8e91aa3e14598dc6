// The orders of codes: the fast functions against the definition of each, and the definitions against codes packed
// here.
#include "convert/import/unpack.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "format/packing.h"
#include "kernels/targets.h"

namespace ingot::test {
namespace {

constexpr CodeOrder kOrders[] = {CodeOrder::kStream, CodeOrder::kPlanar, CodeOrder::kWordAligned, CodeOrder::kHighFirst,
                                 CodeOrder::kAwq};

// Every SIMD target, one after the other.
template <typename Use>
void OnEveryTarget(const Use& use) {
  for (const std::string& target : AvailableTargets()) {
    CAPTURE(target);
    REQUIRE(SetTarget(target));
    use();
  }
  REQUIRE(SetTarget(""));
}

bool Has(CodeOrder order, int bits) {
  return (order != CodeOrder::kHighFirst && order != CodeOrder::kAwq) || bits == 4;
}

std::vector<std::byte> RandomBytes(uint64_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

void CheckLine(CodeOrder order, int bits, uint64_t count) {
  const auto line =
      RandomBytes(LineBytes(order, bits, count), static_cast<unsigned>(bits) * 1000 + static_cast<unsigned>(count));
  std::vector<uint8_t> codes(count + 1, 0xEE);
  UnpackLine(order, bits, line.data(), count, codes.data());
  for (uint64_t i = 0; i < count; ++i) REQUIRE(codes[i] == CodeAt(order, bits, line.data(), i));
  REQUIRE(codes[count] == 0xEE);
  REQUIRE(LineBytes(order, bits, count) <= 4 * LineWords(order, bits, count));
}

TEST_CASE("a line is unpacked code by code as its order says, at every length and width, and no byte beyond is read") {
  OnEveryTarget([] {
    for (CodeOrder order : kOrders) {
      for (int bits = 1; bits <= 8; ++bits) {
        if (!Has(order, bits)) continue;
        for (uint64_t count = 0; count <= 133; ++count) CheckLine(order, bits, count);
      }
    }
  });
}

TEST_CASE("columns of words are unpacked as lines are") {
  const auto check = [](CodeOrder order, int bits, uint64_t lines, uint64_t count) {
    const uint64_t words = LineWords(order, bits, count), stride = lines + 3, out_stride = lines + 1;
    const auto columns = RandomBytes(4 * words * stride, static_cast<unsigned>(lines * 100 + count));
    std::vector<uint8_t> codes(count * out_stride, 0xEE);
    UnpackColumns(order, bits, columns.data(), stride, lines, count, codes.data(), out_stride);
    std::vector<std::byte> line(4 * words);
    for (uint64_t c = 0; c < lines; ++c) {
      for (uint64_t w = 0; w < words; ++w)
        Store(line.data() + 4 * w, Load<uint32_t>(columns.data() + 4 * (w * stride + c)));
      for (uint64_t i = 0; i < count; ++i) REQUIRE(codes[i * out_stride + c] == CodeAt(order, bits, line.data(), i));
    }
    for (uint64_t i = 0; i < count; ++i) REQUIRE(codes[i * out_stride + lines] == 0xEE);
  };
  OnEveryTarget([&] {
    for (int bits : {1, 2, 4, 8}) {
      for (uint64_t lines : {1, 15, 16, 17, 64}) {
        for (uint64_t count : {1, 31, 64, 70}) check(CodeOrder::kStream, bits, lines, count);
      }
    }
    for (uint64_t count : {1, 8, 13, 64}) check(CodeOrder::kAwq, 4, 40, count);
  });
}

TEST_CASE("a stream is one of bits, low end first") {
  for (int bits = 1; bits <= 8; ++bits) {
    const uint64_t count = 100;
    std::vector<std::byte> line(4 * LineWords(CodeOrder::kStream, bits, count));
    std::mt19937 random(static_cast<unsigned>(bits));
    std::vector<uint8_t> codes(count);
    for (uint64_t i = 0; i < count; ++i) {
      codes[i] = static_cast<uint8_t>(random() & ((1u << bits) - 1));
      for (int b = 0; b < bits; ++b) {
        const uint64_t at = i * static_cast<uint64_t>(bits) + static_cast<uint64_t>(b);
        if (codes[i] >> b & 1) line[at / 8] |= static_cast<std::byte>(1 << (at % 8));
      }
    }
    std::vector<uint8_t> out(count);
    UnpackLine(CodeOrder::kStream, bits, line.data(), count, out.data());
    CHECK(out == codes);
  }
}

TEST_CASE("the orders by hand") {
  const std::byte word[] = {std::byte{0x10}, std::byte{0x32}, std::byte{0x54}, std::byte{0x76}};
  const uint8_t awq[] = {0, 4, 1, 5, 2, 6, 3, 7}, high[] = {1, 0, 3, 2, 5, 4, 7, 6};
  for (uint64_t i = 0; i < 8; ++i) {
    CHECK(CodeAt(CodeOrder::kStream, 4, word, i) == i);
    CHECK(CodeAt(CodeOrder::kAwq, 4, word, i) == awq[i]);
    CHECK(CodeAt(CodeOrder::kHighFirst, 4, word, i) == high[i]);
  }
  // 3 bits, ten codes a word: code 10 is at the beginning of the second one.
  std::byte words[8] = {};
  Store(words, uint32_t{5u << 27 | 3u});
  Store(words + 4, uint32_t{6});
  CHECK(CodeAt(CodeOrder::kWordAligned, 3, words, 0) == 3);
  CHECK(CodeAt(CodeOrder::kWordAligned, 3, words, 9) == 5);
  CHECK(CodeAt(CodeOrder::kWordAligned, 3, words, 10) == 6);
  CHECK(LineWords(CodeOrder::kWordAligned, 3, 11) == 2);
  // 3 bits, planar: two words of the low two bits, one of the high bit.
  std::byte planar[12] = {};
  Store(planar + 4, uint32_t{2});         // low field of code 16
  Store(planar + 8, uint32_t{1u << 16});  // its high field
  CHECK(CodeAt(CodeOrder::kPlanar, 3, planar, 16) == 6);
  CHECK(CodeAt(CodeOrder::kPlanar, 3, planar, 15) == 0);
}

void CheckTransposed(uint64_t size, uint64_t rows, uint64_t cols, uint64_t more) {
  const uint64_t stride = cols + more, out_stride = rows + more;
  const auto in = RandomBytes(rows * stride * size, static_cast<unsigned>(rows * 1000 + cols));
  const std::vector<std::byte> before(cols * out_stride * size, std::byte{0xEE});
  std::vector<std::byte> out = before, expected = before;
  Transpose(static_cast<int>(size), in.data(), rows, cols, out.data(), more == 0 ? 0 : stride,
            more == 0 ? 0 : out_stride);
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      std::copy_n(in.begin() + static_cast<ptrdiff_t>((r * stride + c) * size), size,
                  expected.begin() + static_cast<ptrdiff_t>((c * out_stride + r) * size));
    }
  }
  REQUIRE(out == expected);
}

TEST_CASE("transposing, at every size around the blocks and tiles; nothing between the rows is written") {
  OnEveryTarget([] {
    for (uint64_t size : {1, 2, 4}) {
      for (uint64_t rows : {1, 2, 7, 8, 9, 16, 17, 33, 64, 80}) {
        for (uint64_t cols : {1, 3, 8, 15, 16, 64, 65, 130}) {
          CheckTransposed(size, rows, cols, 0);
          CheckTransposed(size, rows, cols, 5);
        }
      }
    }
  });
}

}  // namespace
}  // namespace ingot::test

#include "format/packing.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace ingot {
namespace {

using Bytes = std::vector<std::byte>;

std::vector<Bytes> Pack(const std::vector<uint8_t>& codes, int bits) {
  std::vector<Bytes> planes;
  std::vector<std::byte*> rows;
  for (int width : FieldWidths(bits)) planes.emplace_back(PackedRowBytes(codes.size(), width), std::byte{0xEE});
  for (Bytes& plane : planes) rows.push_back(plane.data());
  PackRowScalar(codes.data(), codes.size(), bits, rows);
  return planes;
}

TEST_CASE("field widths add up to the bits, each a power of two, widest first") {
  CHECK(FieldWidths(0).empty());
  CHECK(FieldWidths(9).empty());
  CHECK(FieldWidths(-1).empty());
  for (int bits = 1; bits <= 8; ++bits) {
    const auto widths = FieldWidths(bits);
    CHECK(std::accumulate(widths.begin(), widths.end(), 0) == bits);
    for (size_t i = 0; i < widths.size(); ++i) {
      CHECK((widths[i] & (widths[i] - 1)) == 0);
      if (i > 0) CHECK(widths[i] < widths[i - 1]);
    }
  }
}

TEST_CASE("row bytes: whole units of 64 columns") {
  CHECK(PackedRowBytes(0, 4) == 0);
  CHECK(PackedRowBytes(1, 4) == 32);
  CHECK(PackedRowBytes(64, 4) == 32);
  CHECK(PackedRowBytes(65, 4) == 64);
  CHECK(PackedRowBytes(64, 1) == 8);
  CHECK(PackedRowBytes(129, 8) == 192);
}

TEST_CASE("the places that the specification names") {
  std::vector<uint8_t> codes(64, 0);
  codes[0] = 0x5;
  codes[32] = 0xA;
  CHECK(Pack(codes, 4)[0][0] == std::byte{0xA5});  // 4 bits: j and j + 32 share byte j

  codes.assign(64, 0);
  codes[8 * 3 + 5] = 1;
  CHECK(Pack(codes, 1)[0][5] == std::byte{1 << 3});  // 1 bit: byte j mod 8, bit j div 8

  codes.assign(64, 0);
  codes[17] = 6;  // 3 bits: low 2 bits "2" at byte 1, bits 2..3; high bit at byte 1, bit 2
  const auto planes = Pack(codes, 3);
  CHECK(planes[0][1] == std::byte{2 << 2});
  CHECK(planes[1][1] == std::byte{1 << 2});
}

TEST_CASE("every width and length comes back, and padding is zero") {
  std::mt19937 random(1);
  for (int bits = 1; bits <= 8; ++bits) {
    for (size_t cols = 0; cols <= 200; ++cols) {
      std::vector<uint8_t> codes(cols);
      for (uint8_t& code : codes) code = static_cast<uint8_t>(random() & ((1u << bits) - 1));
      const auto planes = Pack(codes, bits);
      std::vector<const std::byte*> rows;
      for (const Bytes& plane : planes) rows.push_back(plane.data());

      const size_t padded = (cols + 63) / 64 * 64;
      std::vector<uint8_t> back(padded, 0xEE);
      UnpackRowScalar(rows, padded, bits, back.data());
      CHECK(std::equal(codes.begin(), codes.end(), back.begin()));
      for (size_t c = cols; c < padded; ++c) CHECK(back[c] == 0);

      std::vector<uint8_t> exact(cols + 1, 0xEE);
      UnpackRowScalar(rows, cols, bits, exact.data());
      CHECK(std::equal(codes.begin(), codes.end(), exact.begin()));
      CHECK(exact[cols] == 0xEE);
    }
  }
}

}  // namespace
}  // namespace ingot

#include "kernels/pack.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/targets.h"

namespace ingot {
namespace {

constexpr std::byte kCanary{0xEE};

// The planes of one row, each at an odd address and followed by a canary.
struct Planes {
  Planes(uint64_t cols, int bits) {
    for (int width : FieldWidths(bits)) storage.emplace_back(PackedRowBytes(cols, width) + 2, kCanary);
    for (auto& plane : storage) rows.push_back(plane.data() + 1);
  }
  std::vector<const std::byte*> const_rows() const { return {rows.begin(), rows.end()}; }

  std::vector<std::vector<std::byte>> storage;
  std::vector<std::byte*> rows;
};

void CheckOneRow(const std::vector<uint8_t>& codes, uint64_t cols, int bits) {
  Planes expected(cols, bits), packed(cols, bits);
  PackRowScalar(codes.data() + 1, cols, bits, expected.rows);
  PackRow(codes.data() + 1, cols, bits, packed.rows);
  CHECK(expected.storage == packed.storage);

  std::vector<uint8_t> back(cols + 2, 0xEE), wanted(cols);
  UnpackRowScalar(expected.const_rows(), cols, bits, wanted.data());
  UnpackRow(packed.const_rows(), cols, bits, back.data() + 1);
  CHECK(std::equal(wanted.begin(), wanted.end(), back.begin() + 1));
  CHECK(back.front() == 0xEE);
  CHECK(back.back() == 0xEE);
}

TEST_CASE("packing agrees with the scalar rule on every target, width and length, at odd addresses") {
  std::mt19937 random(2);
  std::vector<uint8_t> any(300);
  for (uint8_t& byte : any) byte = static_cast<uint8_t>(random());  // bits above the width are dropped
  for (const std::string& target : AvailableTargets()) {
    CAPTURE(target);
    REQUIRE(SetTarget(target));
    CHECK(ActiveTarget() == target);
    for (int bits = 1; bits <= 8; ++bits) {
      CAPTURE(bits);
      for (uint64_t cols = 0; cols <= 200; ++cols) CheckOneRow(any, cols, bits);
    }
  }
  REQUIRE(SetTarget(""));
}

TEST_CASE("every code of every width comes back") {
  for (int bits = 1; bits <= 8; ++bits) {
    std::vector<uint8_t> codes(256), back(256);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i & ((1u << bits) - 1));
    Planes packed(codes.size(), bits);
    PackRow(codes.data(), codes.size(), bits, packed.rows);
    UnpackRow(packed.const_rows(), codes.size(), bits, back.data());
    CHECK(codes == back);
  }
}

}  // namespace
}  // namespace ingot

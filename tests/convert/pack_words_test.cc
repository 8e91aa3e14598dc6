// The words that exports write, against the definition of their order.
#include <doctest/doctest.h>

#include <vector>

#include "convert/export_compressed_tensors.h"
#include "convert/import/float8.h"
#include "convert/pack_words.h"

namespace ingot::test {
namespace {

TEST_CASE("PackLine writes what CodeAt reads, and zeros behind the last code") {
  for (CodeOrder order : {CodeOrder::kStream, CodeOrder::kPlanar}) {
    for (int bits = 1; bits <= 8; ++bits) {
      for (uint64_t count : {1u, 7u, 31u, 32u, 33u, 64u, 200u}) {
        CAPTURE(bits);
        CAPTURE(count);
        std::vector<uint8_t> codes(count);
        for (uint64_t i = 0; i < count; ++i) codes[i] = static_cast<uint8_t>((i * 37 + 11) & ((1u << bits) - 1));
        std::vector<std::byte> line(4 * LineWords(order, bits, count), std::byte{0xFF});
        PackLine(order, bits, codes.data(), count, line.data());
        for (uint64_t i = 0; i < count; ++i) CHECK(CodeAt(order, bits, line.data(), i) == codes[i]);
        if (order == CodeOrder::kStream && count * static_cast<uint64_t>(bits) % 32 != 0)
          CHECK((line.back() >> 7) == std::byte{0});
      }
    }
  }
}

TEST_CASE("A global scale is found for any book that was divided by one, and for no other") {
  for (float global : {1.0f, 3.0f, 448.0f * 6.0f / 0.123f, 1.7e-5f, 8765.4321f}) {
    std::vector<float> book = Float8Codebook(DType::kF8E4M3);
    for (float& entry : book) entry /= global;
    const auto found = GlobalScaleOf(book);
    REQUIRE(found);
    CHECK(Float8Codebook(DType::kF8E4M3)[0x7E] / *found == book[0x7E]);
    book[3] *= 1.5f;
    CHECK(!GlobalScaleOf(book));
  }
  CHECK(!GlobalScaleOf({}));
  CHECK(!GlobalScaleOf(std::vector<float>(256, 0.0f)));
}

}  // namespace
}  // namespace ingot::test

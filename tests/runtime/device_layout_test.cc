// Where the bytes of a slice lie on a device, and the copies that take them there.
#include "runtime/device/device_layout.h"

#include <doctest/doctest.h>

#include "tests/support/formula.h"

namespace ingot::test {
namespace {

constexpr std::byte kUntouched{0xEE};

// A plane of bytes that differ from their neighbours.
Bytes PlaneOf(uint64_t size) {
  Bytes plane(size);
  for (uint64_t i = 0; i < size; ++i) plane[i] = static_cast<std::byte>(i * 37 % 251 & 0x7F);
  return plane;
}

PlaneWindow AnyWindow(Dice& dice, uint64_t plane_size) {
  PlaneWindow window;
  window.plane_size = plane_size;
  window.place = dice.Below(40);
  const uint64_t pitch = 2 + dice.Below(60);
  if (dice.Half() && plane_size > 2 * pitch) {
    window.block.pitch = pitch;
    window.block.size = 1 + dice.Below(pitch - 1);
    window.block.offset = dice.Below(plane_size - 2 * pitch);
    const uint64_t most = (plane_size - window.block.offset - window.block.size) / pitch + 1;
    window.block.rows = std::max<uint64_t>(2, 1 + dice.Below(most));
  } else {
    window.block.offset = dice.Below(plane_size);
    window.block.size = 1 + dice.Below(plane_size - window.block.offset);
  }
  return window;
}

TEST_CASE("the copies of all pieces of a plane make its window, and each byte is copied once") {
  Dice dice(3);
  for (int round = 0; round < 3000; ++round) {
    const Bytes plane = PlaneOf(1 + dice.Below(1000));
    const PlaneWindow window = AnyWindow(dice, plane.size());
    REQUIRE(window.block.end() <= plane.size());
    Bytes memory(window.place + window.size() + 8, kUntouched);
    uint64_t copied = 0;
    for (uint64_t at = 0; at < plane.size();) {
      const uint64_t size = std::min<uint64_t>(plane.size() - at, 1 + dice.Below(300));
      const Bytes piece(plane.begin() + static_cast<ptrdiff_t>(at), plane.begin() + static_cast<ptrdiff_t>(at + size));
      int copies = 0;
      ForCopies(window, at, size, [&](const WindowCopy& c) {
        ++copies;
        for (uint64_t r = 0; r < c.rows; ++r) {
          const uint64_t from = c.from + r * c.from_pitch, to = c.to + r * c.to_pitch;
          REQUIRE(from + c.size <= piece.size());
          REQUIRE(to >= window.place);
          REQUIRE(to + c.size <= window.place + window.size());
          std::copy_n(piece.data() + from, c.size, memory.data() + to);
          copied += c.size;
        }
      });
      CHECK(copies <= 3);
      at += size;
    }
    REQUIRE(copied == window.size());
    for (uint64_t r = 0; r < window.block.rows; ++r) {
      for (uint64_t i = 0; i < window.block.size; ++i)
        REQUIRE(memory[window.place + r * window.block.size + i] ==
                plane[window.block.offset + r * window.block.pitch + i]);
    }
    for (uint64_t i = 0; i < window.place; ++i) REQUIRE(memory[i] == kUntouched);
  }
}

}  // namespace
}  // namespace ingot::test

#include "format/header.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

namespace ingot {
namespace {

using Rules = std::vector<std::string>;
constexpr uint64_t kLength = 20000;

Header Sample(uint64_t generation = 7) {
  Header h;
  h.required_features = kFeatureZstd;
  h.optional_features = 0x8000000000000001u;
  h.generation = generation;
  h.file_end = kLength;
  h.index_offset = 8192 + 256;
  h.index_size = 1234;
  h.index_hash = {0x0123456789ABCDEFu, 0xFEDCBA9876543210u};
  return h;
}

std::vector<std::byte> Join(const Slot& a, const Slot& b) {
  std::vector<std::byte> out(a.begin(), a.end());
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

Slot Damaged(Slot slot) {
  slot[2000] = std::byte{1};
  return slot;
}

// A slot of any bytes, with the right checksum.
Slot Sealed(Slot slot) {
  const Hash128 checksum = Xxh3_128(ByteSpan(slot).first(4080));
  Store(slot.data() + 4080, checksum.low);
  Store(slot.data() + 4088, checksum.high);
  return slot;
}

struct Outcome {
  HeaderPair pair;
  Rules rules;
};

Outcome Read(ByteSpan bytes, uint64_t length = kLength) {
  Report report;
  Outcome out;
  out.pair = ReadHeader(bytes, length, report);
  for (const Violation& v : report.violations()) out.rules.emplace_back(v.rule);
  return out;
}

Rules RulesOf(const Header& h) { return Read(Join(EncodeSlot(h), EncodeSlot(h))).rules; }

TEST_CASE("what is written is read back, at the places of the specification") {
  const Header h = Sample();
  const Slot slot = EncodeSlot(h);
  CHECK(std::memcmp(slot.data(), "\x89INGOT\r\n", 8) == 0);
  CHECK(Load<uint16_t>(slot.data() + 8) == 0);
  CHECK(Load<uint16_t>(slot.data() + 10) == 1);
  CHECK(Load<uint32_t>(slot.data() + 12) == 256);
  const uint64_t words[] = {h.required_features, h.optional_features, 7, kLength, 8448, 1234,
                            h.index_hash.low,    h.index_hash.high};
  for (size_t i = 0; i < 8; ++i) CHECK(Load<uint64_t>(slot.data() + 16 + 8 * i) == words[i]);
  for (size_t i = 80; i < 4080; ++i) REQUIRE(slot[i] == std::byte{0});

  const Outcome out = Read(Join(slot, slot));
  CHECK(out.rules.empty());
  CHECK(out.pair.current == 0);
  const Header& back = out.pair.header;
  CHECK(EncodeSlot(back) == slot);
  CHECK(back.index_hash == h.index_hash);
  CHECK(back.optional_features == h.optional_features);
}

TEST_CASE("every change of a single bit of a slot is noticed") {
  const Slot good = EncodeSlot(Sample());
  size_t unnoticed = 0;
  for (int which : {0, 1}) {
    std::vector<std::byte> bytes = Join(good, good);
    for (size_t at = 0; at < kSlotSize; ++at) {
      std::byte& byte = bytes[static_cast<size_t>(which) * kSlotSize + at];
      for (int bit = 0; bit < 8; ++bit) {
        byte ^= static_cast<std::byte>(1 << bit);
        const Outcome out = Read(bytes);
        const bool noticed = !out.pair.good[static_cast<size_t>(which)] &&
                             out.pair.good[static_cast<size_t>(1 - which)] && out.pair.current == 1 - which &&
                             out.rules == Rules{at < 8 ? "R-HDR-1" : "R-HDR-2"};
        unnoticed += !noticed;
        byte ^= static_cast<std::byte>(1 << bit);
      }
    }
  }
  CHECK(unnoticed == 0);
}

TEST_CASE("which slot is current, in all combinations") {
  for (bool good0 : {false, true}) {
    for (bool good1 : {false, true}) {
      for (int difference : {-1, 0, 1}) {
        CAPTURE(good0);
        CAPTURE(good1);
        CAPTURE(difference);
        const Slot a = EncodeSlot(Sample(7)), b = EncodeSlot(Sample(static_cast<uint64_t>(7 + difference)));
        const Outcome out = Read(Join(good0 ? a : Damaged(a), good1 ? b : Damaged(b)));
        CHECK(out.pair.good[0] == good0);
        CHECK(out.pair.good[1] == good1);
        std::optional<int> expected;
        if (good0 && good1) {
          expected = difference > 0 ? 1 : 0;
        } else if (good0 || good1) {
          expected = good0 ? 0 : 1;
        }
        CHECK(out.pair.current == expected);
        CHECK(out.rules.size() == static_cast<size_t>(!good0 + !good1));
        if (expected) CHECK(out.pair.header.generation == static_cast<uint64_t>(*expected == 0 ? 7 : 7 + difference));
        for (const std::string& rule : out.rules) {
          CHECK(rule == "R-HDR-2");
          CHECK(IsRepairable(out.pair, {rule, "", ""}) == (good0 || good1));
        }
      }
    }
  }
}

TEST_CASE("generations: at least 1, equal ones in equal bytes, no gap") {
  const auto pair = [](const Header& a, const Header& b) { return Read(Join(EncodeSlot(a), EncodeSlot(b))).rules; };
  CHECK(pair(Sample(7), Sample(9)) == Rules{"R-HDR-8"});
  CHECK(pair(Sample(UINT64_MAX), Sample(1)) == Rules{"R-HDR-8"});
  CHECK(pair(Sample(UINT64_MAX), Sample(UINT64_MAX - 1)).empty());
  CHECK(pair(Sample(0), Sample(1)) == Rules{"R-HDR-8"});
  CHECK(RulesOf(Sample(0)) == Rules{"R-HDR-8"});
  Header other = Sample();
  other.index_size -= 1;
  CHECK(pair(Sample(), other) == Rules{"R-HDR-7"});
}

TEST_CASE("the rules about fields hold for the older slot too, those about places only for the current one") {
  Header wrong = Sample(6);
  wrong.alignment = 96;
  const Outcome out = Read(Join(EncodeSlot(Sample(7)), EncodeSlot(wrong)));
  CHECK(out.rules == Rules{"R-HDR-5"});
  CHECK_FALSE(IsRepairable(out.pair, {"R-HDR-5", "", ""}));
  Header dangling = Sample(6);
  dangling.index_offset = 1 << 20;
  dangling.file_end = 1 << 30;
  CHECK(Read(Join(EncodeSlot(dangling), EncodeSlot(Sample(7)))).rules.empty());
}

TEST_CASE("each rule about a field") {
  const auto with = [](auto change) {
    Header h = Sample();
    change(h);
    return RulesOf(h);
  };
  CHECK(with([](Header& h) { h.major = 1; }) == Rules{"R-HDR-3"});
  CHECK(with([](Header& h) { h.minor = 9; }).empty());
  CHECK(with([](Header& h) { h.minor = 0; }).empty());
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t feature = uint64_t{1} << bit;
    CHECK(with([&](Header& h) { h.required_features = feature; }) == (bit < 2 ? Rules{} : Rules{"R-HDR-4"}));
    CHECK(with([&](Header& h) { h.optional_features = feature; }).empty());
  }
  for (int bit = 0; bit < 32; ++bit) {
    const auto alignment = uint32_t{1} << bit;
    // An alignment that is allowed puts the index at its multiples.
    const bool allowed = bit >= 6 && bit <= 21;
    const uint64_t at = alignment > 8192 ? alignment : 16384;
    const auto rules = with([&](Header& h) { h.alignment = alignment, h.index_offset = at, h.index_size = 8; });
    if (!allowed) CHECK(rules == Rules{"R-HDR-5"});
    if (allowed && at + 8 <= kLength) CHECK(rules.empty());
  }
  for (uint32_t alignment : {0u, 65u, 96u, 255u, 3u << 20}) {
    CHECK(with([&](Header& h) { h.alignment = alignment; }) == Rules{"R-HDR-5"});
  }
}

TEST_CASE("reserved bytes: zero, unless the minor version is newer") {
  for (size_t at : {size_t{80}, size_t{1000}, size_t{4079}}) {
    for (uint16_t minor : {uint16_t{1}, uint16_t{2}}) {
      Header h = Sample();
      h.minor = minor;
      Slot slot = EncodeSlot(h);
      slot[at] = std::byte{1};
      slot = Sealed(slot);
      CHECK(Read(Join(slot, slot)).rules == (minor == 1 ? Rules{"R-HDR-6"} : Rules{}));
    }
  }
}

TEST_CASE("where the index may lie") {
  const auto at = [](uint64_t offset, uint64_t size, uint64_t end = kLength) {
    Header h = Sample();
    h.index_offset = offset, h.index_size = size, h.file_end = end;
    return RulesOf(h);
  };
  CHECK(at(8192, 8).empty());
  CHECK(at(8192, kLength - 8192).empty());
  for (const auto& rules : {at(8192, 7), at(8192, kLength - 8191), at(7936, 8), at(8200, 8), at(0, 8),
                            at(UINT64_MAX - 255, 8), at(8192, UINT64_MAX), at(8192, UINT64_MAX - 8191)}) {
    CHECK(rules == Rules{"R-HDR-9"});
  }
  CHECK(at(8192, 8, kLength + 1) == Rules{"R-FILE-2"});
  Header large = Sample();
  large.file_end = uint64_t{3} << 30;
  large.index_offset = 8192;
  const auto of_size = [&](uint64_t size) {
    large.index_size = size;
    return Read(Join(EncodeSlot(large), EncodeSlot(large)), large.file_end).rules;
  };
  CHECK(of_size(uint64_t{1} << 30).empty());
  CHECK(of_size((uint64_t{1} << 30) + 1) == Rules{"R-HDR-9"});
}

TEST_CASE("every shorter beginning is refused") {
  const std::vector<std::byte> bytes = Join(EncodeSlot(Sample()), EncodeSlot(Sample()));
  for (size_t length = 0; length < kHeaderSize; length += 509) {
    CHECK(Read(ByteSpan(bytes).first(length), length).rules == Rules{"R-FILE-1"});
  }
  CHECK(Read(ByteSpan(bytes).first(kHeaderSize - 1), kHeaderSize - 1).rules == Rules{"R-FILE-1"});
  CHECK_FALSE(Read({}, 0).pair.current.has_value());
}

}  // namespace
}  // namespace ingot

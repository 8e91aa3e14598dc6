#include "format/header.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "format/checked.h"

namespace ingot {
namespace {

constexpr size_t kReservedAt = 80, kChecksumAt = 4080;

Hash128 SlotChecksum(ByteSpan slot) { return Xxh3_128(slot.first(kChecksumAt)); }

Header DecodeSlot(const std::byte* slot) {
  Header h;
  h.major = Load<uint16_t>(slot + 8);
  h.minor = Load<uint16_t>(slot + 10);
  h.alignment = Load<uint32_t>(slot + 12);
  h.required_features = Load<uint64_t>(slot + 16);
  h.optional_features = Load<uint64_t>(slot + 24);
  h.generation = Load<uint64_t>(slot + 32);
  h.file_end = Load<uint64_t>(slot + 40);
  h.index_offset = Load<uint64_t>(slot + 48);
  h.index_size = Load<uint64_t>(slot + 56);
  h.index_hash = {Load<uint64_t>(slot + 64), Load<uint64_t>(slot + 72)};
  return h;
}

std::string PlaceOf(int slot) { return fmt::format("header slot {}", slot); }

// R-HDR-1 and R-HDR-2.
bool CheckGood(ByteSpan slot, int number, Report& report) {
  if (std::memcmp(slot.data(), kMagic.data(), kMagic.size()) != 0) {
    report.Add("R-HDR-1", PlaceOf(number), "the magic is {}, expected {}", ToHex(slot.first(8)),
               ToHex(std::as_bytes(std::span(kMagic))));
    return false;
  }
  const Hash128 stored = {Load<uint64_t>(slot.data() + kChecksumAt), Load<uint64_t>(slot.data() + kChecksumAt + 8)};
  const Hash128 actual = SlotChecksum(slot);
  if (stored != actual) {
    report.Add("R-HDR-2", PlaceOf(number), "the checksum is {}, the slot's bytes have {}", ToHex(stored),
               ToHex(actual));
    return false;
  }
  return true;
}

// R-HDR-3 to R-HDR-6 and R-HDR-8, which hold for every good slot.
void CheckFields(const Header& h, ByteSpan slot, int number, Report& report) {
  const std::string place = PlaceOf(number);
  if (h.major != kMajor) {
    report.Add("R-HDR-3", place, "the major version is {}, this reader knows {}", h.major, kMajor);
    return;  // of another major version nothing more is known
  }
  if ((h.required_features & ~kKnownFeatures) != 0) {
    report.Add("R-HDR-4", place, "required features {:#x}, this reader knows {:#x}", h.required_features,
               kKnownFeatures);
  }
  if (!std::has_single_bit(h.alignment) || h.alignment < kMinAlignment || h.alignment > kMaxAlignment) {
    report.Add("R-HDR-5", place, "the alignment is {}, expected a power of two from {} to {}", h.alignment,
               kMinAlignment, kMaxAlignment);
  }
  const ByteSpan reserved = slot.subspan(kReservedAt, kChecksumAt - kReservedAt);
  const auto found = std::find_if(reserved.begin(), reserved.end(), [](std::byte b) { return b != std::byte{0}; });
  if (found != reserved.end() && !h.newer_minor()) {
    report.Add("R-HDR-6", place, "reserved byte {} is {:#x}, expected 0",
               kReservedAt + static_cast<size_t>(found - reserved.begin()), std::to_integer<unsigned>(*found));
  }
  if (h.generation < 1) report.Add("R-HDR-8", place, "the generation is 0, expected at least 1");
}

// R-HDR-9 and R-FILE-2, which speak of the current slot.
void CheckExtent(const Header& h, uint64_t file_length, Report& report) {
  if (h.file_end > file_length) {
    report.Add("R-FILE-2", "file", "truncated: {} bytes long, the header says {}", file_length, h.file_end);
    return;
  }
  const bool placed = h.index_offset >= kHeaderSize && h.index_offset % h.alignment == 0;
  if (!placed || h.index_size < kIndexHeadSize || h.index_size > kMaxIndexSize ||
      !InRange(h.index_offset, h.index_size, h.file_end)) {
    report.Add("R-HDR-9", "header",
               "index of {} bytes at {}: expected 8 to {} bytes at a multiple of {}, from {} on and within {}",
               h.index_size, h.index_offset, kMaxIndexSize, h.alignment, kHeaderSize, h.file_end);
  }
}

}  // namespace

Slot EncodeSlot(const Header& h) {
  Slot slot{};
  std::memcpy(slot.data(), kMagic.data(), kMagic.size());
  Store(slot.data() + 8, h.major);
  Store(slot.data() + 10, h.minor);
  Store(slot.data() + 12, h.alignment);
  Store(slot.data() + 16, h.required_features);
  Store(slot.data() + 24, h.optional_features);
  Store(slot.data() + 32, h.generation);
  Store(slot.data() + 40, h.file_end);
  Store(slot.data() + 48, h.index_offset);
  Store(slot.data() + 56, h.index_size);
  Store(slot.data() + 64, h.index_hash.low);
  Store(slot.data() + 72, h.index_hash.high);
  const Hash128 checksum = SlotChecksum(slot);
  Store(slot.data() + kChecksumAt, checksum.low);
  Store(slot.data() + kChecksumAt + 8, checksum.high);
  return slot;
}

HeaderPair ReadHeader(ByteSpan first_bytes, uint64_t file_length, Report& report) {
  HeaderPair pair;
  if (file_length < kHeaderSize || first_bytes.size() < kHeaderSize) {
    report.Add("R-FILE-1", "file", "{} bytes long, expected at least {}", file_length, kHeaderSize);
    return pair;
  }
  std::array<Header, 2> headers;
  for (int i = 0; i < 2; ++i) {
    const ByteSpan slot = first_bytes.subspan(static_cast<size_t>(i) * kSlotSize, kSlotSize);
    pair.good[static_cast<size_t>(i)] = CheckGood(slot, i, report);
    headers[static_cast<size_t>(i)] = DecodeSlot(slot.data());
  }
  if (!pair.good[0] && !pair.good[1]) return pair;
  const bool both = pair.good[0] && pair.good[1];
  pair.current = both ? (headers[1].generation > headers[0].generation ? 1 : 0) : (pair.good[0] ? 0 : 1);
  pair.header = headers[static_cast<size_t>(*pair.current)];

  const bool equal = std::memcmp(first_bytes.data(), first_bytes.data() + kSlotSize, kSlotSize) == 0;
  const size_t before = report.violations().size();
  for (int i = 0; i < 2; ++i) {
    if (!pair.good[static_cast<size_t>(i)] || (i == 1 && both && equal)) continue;
    CheckFields(headers[static_cast<size_t>(i)], first_bytes.subspan(static_cast<size_t>(i) * kSlotSize, kSlotSize), i,
                report);
  }
  if (both) {
    const uint64_t a = headers[0].generation, b = headers[1].generation;
    if (a == b && !equal) report.Add("R-HDR-7", "header", "both slots have generation {}, but their bytes differ", a);
    if (std::max(a, b) - std::min(a, b) > 1) {
      report.Add("R-HDR-8", "header", "the slots' generations are {} and {}, expected a difference of at most 1", a, b);
    }
  }
  if (report.violations().size() == before) CheckExtent(pair.header, file_length, report);
  return pair;
}

bool IsRepairable(const HeaderPair& pair, const Violation& violation) {
  return pair.current.has_value() && (violation.rule == "R-HDR-1" || violation.rule == "R-HDR-2");
}

}  // namespace ingot

// The two header slots (spec/FORMAT.md, section 2).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "format/bytes.h"
#include "format/hash.h"
#include "format/layout.h"
#include "format/report.h"

namespace ingot {

// What a slot says, but for magic and checksum.
struct Header {
  uint16_t major = kMajor;
  uint16_t minor = kMinor;
  uint32_t alignment = kDefaultAlignment;
  uint64_t required_features = 0;
  uint64_t optional_features = 0;
  uint64_t generation = 1;
  uint64_t file_end = 0;
  uint64_t index_offset = 0;
  uint64_t index_size = 0;
  Hash128 index_hash;

  // Fields that a newer minor version may have added are ignored.
  bool newer_minor() const { return minor > kMinor; }
};

using Slot = std::array<std::byte, kSlotSize>;

// The 4096 bytes of a slot, with magic and checksum.
Slot EncodeSlot(const Header& header);

struct HeaderPair {
  std::array<bool, 2> good = {false, false};
  std::optional<int> current;  // the good slot with the higher generation; none: not an Ingot file
  Header header;               // of the current slot
};

// Reads both slots from the first kHeaderSize bytes and says which is current. Reports every violation of R-HDR-1 to
// R-HDR-9 and R-FILE-2, a bad slot among them: whoever only reads may go on with one bad slot.
HeaderPair ReadHeader(ByteSpan first_bytes, uint64_t file_length, Report& report);

// Whether a rule that ReadHeader reports leaves the file readable: one bad slot does.
bool IsRepairable(const HeaderPair& pair, const Violation& violation);

}  // namespace ingot

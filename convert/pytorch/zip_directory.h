// The directory of a zip archive whose members are stored as they are, as torch.save writes it. Nothing is unpacked:
// a member is a range of the file. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "convert/byte_source.h"
#include "format/status.h"

namespace ingot {

inline constexpr uint64_t kMaxZipMembers = uint64_t{1} << 20;
inline constexpr uint64_t kMaxZipDirectory = uint64_t{256} << 20;  // bytes

struct ZipMember {
  std::string name;  // "archive/data/0": UTF-8, relative, without . and .. components
  uint64_t offset;   // of its bytes in the file
  uint64_t size;
  uint32_t crc;  // CRC-32 of its bytes as the directory states it
};

struct ZipDirectory {
  std::vector<ZipMember> members;  // by name, which are unique; without folders

  // Nothing if there is no such member.
  const ZipMember* Find(std::string_view name) const;
};

// Reads the central directory (also Zip64) and checks it against each member's local header: members lie within the
// file, before the directory, and do not overlap. Refused: compressed and encrypted members, archives in several parts,
// names that lead out of the archive. Memory follows the bytes that are really there. Errors: kBadInput naming `what`
// and the member; what `source` returns.
Result<ZipDirectory> ReadZipDirectory(const ByteSource& source, const std::string& what);

// Reads a member and compares its CRC. 0 is taken as "none was computed".
Status CheckZipMember(const ByteSource& source, const ZipMember& member, const std::string& what);

}  // namespace ingot

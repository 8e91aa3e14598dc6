#include "convert/pytorch/zip_directory.h"

#include <algorithm>
#include <array>

#include "format/checked.h"
#include "format/text.h"

namespace ingot {
namespace {

// Records of the format (PKWARE's APPNOTE, section 4.3): their signatures and the sizes of their fixed parts.
constexpr uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50, kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50, kLocator64Magic = 0x07064b50;
constexpr uint64_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocator64Size = 20;
constexpr uint64_t kMaxComment = 0xFFFF;
constexpr uint16_t kZip64Extra = 1;

// A field with this value stands in the Zip64 record instead.
constexpr uint32_t kMoved32 = 0xFFFFFFFF;
constexpr uint16_t kMoved16 = 0xFFFF;

// Encrypted, patch data, strongly encrypted, masked.
constexpr uint16_t kRefusedFlags = 1u << 0 | 1u << 5 | 1u << 6 | 1u << 13;

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

// The end of an archive: where its directory is.
struct EndRecord {
  uint64_t members = 0;
  uint64_t size = 0;    // of the directory
  uint64_t offset = 0;  // of the directory
  uint64_t at = 0;      // where the end records begin
};

// A member as the directory describes it.
struct Entry {
  ZipMember member;     // `offset` is filled in from the local header
  uint64_t header = 0;  // offset of the local header
  uint16_t method = 0;
};

bool IsPlainName(std::string_view name) {
  if (!IsUtf8(name) || name.find_first_of(std::string_view("\\\0", 2)) != std::string_view::npos) return false;
  while (true) {
    const size_t slash = name.find('/');
    const std::string_view component = name.substr(0, slash);
    if (component.empty() || component == "." || component == "..") return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

class Reader {
 public:
  Reader(const ByteSource& source, const std::string& what) : source_(source), what_(what) {}

  Result<ZipDirectory> Read() {
    if (auto found = FindEnd(); !found) return Propagate(found);
    if (auto read = ReadEntries(); !read) return Propagate(read);
    ZipDirectory directory;
    for (Entry& entry : entries_) {
      if (auto placed = PlaceMember(entry); !placed) return Propagate(placed);
    }
    if (auto apart = CheckOverlap(); !apart) return Propagate(apart);
    for (Entry& entry : entries_) {
      if (!entry.member.name.ends_with('/')) directory.members.push_back(std::move(entry.member));
    }
    std::sort(directory.members.begin(), directory.members.end(),
              [](const ZipMember& a, const ZipMember& b) { return a.name < b.name; });
    const auto twice = std::adjacent_find(directory.members.begin(), directory.members.end(),
                                          [](const ZipMember& a, const ZipMember& b) { return a.name == b.name; });
    if (twice != directory.members.end()) return BadMember(twice->name, "stands twice in the archive");
    return directory;
  }

 private:
  template <typename... Args>
  tl::unexpected<Error> Bad(fmt::format_string<Args...> text, Args&&... args) const {
    return Fail(ErrorCode::kBadInput, "{}: {}", what_, fmt::format(text, std::forward<Args>(args)...));
  }
  template <typename... Args>
  tl::unexpected<Error> BadMember(std::string_view name, fmt::format_string<Args...> text, Args&&... args) const {
    return Bad("member {}: {}", Quote(name), fmt::format(text, std::forward<Args>(args)...));
  }

  // The end record is the last thing of the file, but for a comment whose length it states.
  Status FindEnd() {
    const uint64_t tail_size = std::min(source_.size, kEndSize + kMaxComment);
    std::vector<std::byte> tail(tail_size);
    if (auto read = source_.read(source_.size - tail_size, tail); !read) return read;
    for (uint64_t comment = 0; comment + kEndSize <= tail_size; ++comment) {
      const std::byte* record = tail.data() + (tail_size - kEndSize - comment);
      if (Load<uint32_t>(record) == kEndMagic && Load<uint16_t>(record + 20) == comment) {
        return TakeEnd(record, source_.size - kEndSize - comment);
      }
    }
    return Bad("truncated: a zip archive that does not end in its directory");
  }

  Status TakeEnd(const std::byte* record, uint64_t at) {
    const auto disk = Load<uint16_t>(record + 4), first_disk = Load<uint16_t>(record + 6);
    const auto here = Load<uint16_t>(record + 8), members = Load<uint16_t>(record + 10);
    const auto size = Load<uint32_t>(record + 12), offset = Load<uint32_t>(record + 16);
    end_ = {members, size, offset, at};
    auto wide = TakeEnd64(at);
    if (!wide) return Propagate(wide);
    const bool is64 = *wide;
    const auto agree = [](auto narrow, auto moved, uint64_t value) { return narrow == moved || narrow == value; };
    if (is64 && !(agree(members, kMoved16, end_.members) && agree(size, kMoved32, end_.size) &&
                  agree(offset, kMoved32, end_.offset))) {
      return Bad("the end of the zip archive and its Zip64 form disagree");
    }
    const bool one_disk =
        (disk == 0 || (is64 && disk == kMoved16)) && (first_disk == 0 || (is64 && first_disk == kMoved16));
    if (!one_disk || here != members) return Bad("a zip archive in several parts is not read");
    if (!InRange(end_.offset, end_.size, end_.at)) {
      return Bad("the zip directory of {} bytes at byte {} does not lie before its end record at byte {}", end_.size,
                 end_.offset, end_.at);
    }
    if (end_.members > kMaxZipMembers || end_.size > kMaxZipDirectory) {
      return Bad("a zip directory of {} members in {} bytes, at most {} in {} are read", end_.members, end_.size,
                 kMaxZipMembers, kMaxZipDirectory);
    }
    return {};
  }

  // Whether there is a Zip64 end record before the one at `at`: its numbers then count.
  Result<bool> TakeEnd64(uint64_t at) {
    if (at < kLocator64Size) return false;
    std::array<std::byte, kLocator64Size> locator;
    if (auto read = source_.read(at - kLocator64Size, locator); !read) return Propagate(read);
    if (Load<uint32_t>(locator.data()) != kLocator64Magic) return false;
    const auto offset = Load<uint64_t>(locator.data() + 8);
    if (Load<uint32_t>(locator.data() + 4) != 0 || Load<uint32_t>(locator.data() + 16) > 1) {
      return Bad("a zip archive in several parts is not read");
    }
    if (!InRange(offset, kEnd64Size, at - kLocator64Size)) return Bad("no Zip64 end record at byte {}", offset);
    std::array<std::byte, kEnd64Size> record;
    if (auto read = source_.read(offset, record); !read) return Propagate(read);
    if (Load<uint32_t>(record.data()) != kEnd64Magic) return Bad("no Zip64 end record at byte {}", offset);
    end_ = {Load<uint64_t>(record.data() + 32), Load<uint64_t>(record.data() + 40), Load<uint64_t>(record.data() + 48),
            offset};
    if (Load<uint32_t>(record.data() + 16) != 0 || Load<uint32_t>(record.data() + 20) != 0 ||
        Load<uint64_t>(record.data() + 24) != end_.members) {
      return Bad("a zip archive in several parts is not read");
    }
    return true;
  }

  Status ReadEntries() {
    std::vector<std::byte> bytes(end_.size);
    if (auto read = source_.read(end_.offset, bytes); !read) return read;
    ByteSpan rest(bytes);
    while (entries_.size() < end_.members) {
      if (auto taken = TakeEntry(rest); !taken) return taken;
    }
    if (!rest.empty()) return Bad("{} bytes follow the last entry of the zip directory", rest.size());
    return {};
  }

  // Takes one entry off the front of `rest`.
  Status TakeEntry(ByteSpan& rest) {
    const size_t number = entries_.size();
    if (rest.size() < kCentralSize || Load<uint32_t>(rest.data()) != kCentralMagic) {
      return Bad("the zip directory has no entry {} of {}", number, end_.members);
    }
    const std::byte* fixed = rest.data();
    const uint64_t name_size = Load<uint16_t>(fixed + 28), extra_size = Load<uint16_t>(fixed + 30);
    const uint64_t whole = kCentralSize + name_size + extra_size + Load<uint16_t>(fixed + 32);
    if (whole > rest.size()) return Bad("entry {} of the zip directory is cut off", number);
    Entry entry;
    entry.member.name = AsText(rest.subspan(kCentralSize, name_size));
    entry.method = Load<uint16_t>(fixed + 10);
    entry.member.crc = Load<uint32_t>(fixed + 16);
    uint64_t stored_size = Load<uint32_t>(fixed + 20);
    entry.member.size = Load<uint32_t>(fixed + 24);
    entry.header = Load<uint32_t>(fixed + 42);
    const std::string& name = entry.member.name;
    const auto disk = Load<uint16_t>(fixed + 34);
    const ByteSpan extra = rest.subspan(kCentralSize + name_size, extra_size);
    if (!TakeZip64({&entry.member.size, &stored_size, &entry.header}, extra)) {
      return BadMember(name, "its Zip64 sizes are cut off");
    }
    const bool is_folder = name.ends_with('/');
    if (!IsPlainName(is_folder ? std::string_view(name).substr(0, name.size() - 1) : name)) {
      return BadMember(name, "not a name that a member may have");
    }
    if ((Load<uint16_t>(fixed + 8) & kRefusedFlags) != 0) return BadMember(name, "encrypted members are not read");
    if (entry.method != 0) {
      return BadMember(name, "compressed (method {}); only stored members are read, as torch.save writes them",
                       entry.method);
    }
    if (disk != 0 && disk != kMoved16) return Bad("a zip archive in several parts is not read");
    if (stored_size != entry.member.size || (is_folder && stored_size != 0)) {
      return BadMember(name, "{} bytes stored in {}", entry.member.size, stored_size);
    }
    entries_.push_back(std::move(entry));
    rest = rest.subspan(whole);
    return {};
  }

  // Replaces the numbers that stand in the Zip64 extra field instead, which holds just those, in this order.
  static bool TakeZip64(std::initializer_list<uint64_t*> numbers, ByteSpan extra) {
    while (extra.size() >= 4) {
      const auto id = Load<uint16_t>(extra.data());
      const uint64_t size = Load<uint16_t>(extra.data() + 2);
      if (size > extra.size() - 4) return false;
      ByteSpan field = extra.subspan(4, size);
      extra = extra.subspan(4 + size);
      if (id != kZip64Extra) continue;
      for (uint64_t* number : numbers) {
        if (*number != kMoved32) continue;
        if (field.size() < sizeof(uint64_t)) return false;
        *number = Load<uint64_t>(field.data());
        field = field.subspan(sizeof(uint64_t));
      }
      return true;
    }
    return true;
  }

  // The local header repeats the name and says, with an extra field of its own, where the bytes begin.
  Status PlaceMember(Entry& entry) {
    const std::string& name = entry.member.name;
    std::vector<std::byte> header(kLocalSize + name.size());
    if (!InRange(entry.header, header.size(), end_.offset)) {
      return BadMember(name, "its header at byte {} does not lie before the directory at byte {}", entry.header,
                       end_.offset);
    }
    if (auto read = source_.read(entry.header, header); !read) return read;
    const std::byte* fixed = header.data();
    if (Load<uint32_t>(fixed) != kLocalMagic || Load<uint16_t>(fixed + 26) != name.size() ||
        AsText(ByteSpan(header).subspan(kLocalSize)) != name || Load<uint16_t>(fixed + 8) != entry.method ||
        (Load<uint16_t>(fixed + 6) & kRefusedFlags) != 0) {
      return BadMember(name, "its header at byte {} is not that of this member", entry.header);
    }
    entry.member.offset = entry.header + header.size() + Load<uint16_t>(fixed + 28);
    if (!InRange(entry.member.offset, entry.member.size, end_.offset)) {
      return BadMember(name, "its {} bytes at byte {} do not lie before the directory at byte {}", entry.member.size,
                       entry.member.offset, end_.offset);
    }
    return {};
  }

  // Also keeps a small archive from holding one range of bytes under a million names.
  Status CheckOverlap() {
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.header < b.header; });
    for (size_t i = 1; i < entries_.size(); ++i) {
      const ZipMember& before = entries_[i - 1].member;
      if (before.offset + before.size > entries_[i].header) {
        return BadMember(entries_[i].member.name, "overlaps member {}", Quote(before.name));
      }
    }
    return {};
  }

  const ByteSource& source_;
  const std::string& what_;
  EndRecord end_;
  std::vector<Entry> entries_;
};

}  // namespace

const ZipMember* ZipDirectory::Find(std::string_view name) const {
  const auto at = std::lower_bound(members.begin(), members.end(), name,
                                   [](const ZipMember& member, std::string_view n) { return member.name < n; });
  return at != members.end() && at->name == name ? &*at : nullptr;
}

Result<ZipDirectory> ReadZipDirectory(const ByteSource& source, const std::string& what) {
  return Reader(source, what).Read();
}

Status CheckZipMember(const ByteSource& source, const ZipMember& member, const std::string& what) {
  if (member.crc == 0) return {};
  std::array<std::byte, 1 << 14> buffer;
  uint32_t crc = 0xFFFFFFFFu;
  for (uint64_t done = 0; done < member.size; done += buffer.size()) {
    const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), member.size - done));
    if (auto read = source.read(member.offset + done, piece); !read) return read;
    for (const std::byte b : piece) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint32_t>(b)) & 0xFF];
  }
  if (~crc == member.crc) return {};
  return Fail(ErrorCode::kBadInput, "{}: member {}: damaged: its CRC is {:08x}, the directory says {:08x}", what,
              Quote(member.name), ~crc, member.crc);
}

}  // namespace ingot

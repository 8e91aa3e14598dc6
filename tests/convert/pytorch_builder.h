// Zip archives and pickles byte by byte, right ones and wrong ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/bytes.h"

namespace ingot::test {

template <typename T>
std::string Little(T value) {
  std::string bytes(sizeof value, '\0');
  Store(reinterpret_cast<std::byte*>(bytes.data()), value);
  return bytes;
}

// A member of an archive; what is not given fits.
struct Member {
  std::string name, data;
  uint16_t flags = 0, method = 0;
  uint32_t crc = 0;
  std::string local_name = name;
  std::string local_extra = {}, central_extra = {};
  uint32_t central_size = static_cast<uint32_t>(data.size());
  uint32_t central_offset = UINT32_MAX;  // UINT32_MAX: where it is
  uint16_t disk = 0;
};

struct Zip {
  std::vector<Member> members;
  bool wide = false;  // with Zip64 end records
  std::string comment = {};
  uint16_t count = static_cast<uint16_t>(members.size());
  uint64_t wide_count = members.size();
  std::string before_end = {};  // between the directory and its end

  std::string Bytes() const {
    std::string file, directory;
    for (const Member& m : members) {
      const auto offset = m.central_offset == UINT32_MAX ? static_cast<uint32_t>(file.size()) : m.central_offset;
      const std::string fixed = Little(m.flags) + Little(m.method) + Little(uint32_t{0}) + Little(m.crc);
      file += "PK\x03\x04" + Little(uint16_t{20}) + fixed + std::string(8, '\0') +
              Little(static_cast<uint16_t>(m.local_name.size())) + Little(static_cast<uint16_t>(m.local_extra.size())) +
              m.local_name + m.local_extra + m.data;
      directory += "PK\x01\x02" + Little(uint16_t{20}) + Little(uint16_t{20}) + fixed + Little(m.central_size) +
                   Little(m.central_size) + Little(static_cast<uint16_t>(m.name.size())) +
                   Little(static_cast<uint16_t>(m.central_extra.size())) + Little(uint16_t{0}) + Little(m.disk) +
                   std::string(6, '\0') + Little(offset) + m.name + m.central_extra;
    }
    const uint64_t at = file.size(), end = at + directory.size() + before_end.size();
    file += directory + before_end;
    if (wide) {
      file += "PK\x06\x06" + Little(uint64_t{44}) + Little(uint32_t{0}) + std::string(8, '\0') + Little(wide_count) +
              Little(wide_count) + Little(uint64_t{directory.size()}) + Little(at);
      file += "PK\x06\x07" + Little(uint32_t{0}) + Little(end) + Little(uint32_t{1});
    }
    return file + "PK\x05\x06" + std::string(4, '\0') + Little(count) + Little(count) +
           Little(static_cast<uint32_t>(directory.size())) + Little(static_cast<uint32_t>(at)) +
           Little(static_cast<uint16_t>(comment.size())) + comment;
  }
};

// ---- pickles

inline std::string Text(const std::string& text) { return "X" + Little(static_cast<uint32_t>(text.size())) + text; }
inline std::string Int(int32_t value) { return "J" + Little(value); }
inline std::string Long(int64_t value) { return "\x8a\x08" + Little(value); }
inline std::string Tuple(const std::vector<std::string>& items) {
  std::string all = "(";
  for (const std::string& item : items) all += item;
  return all + "t";
}
inline std::string Ints(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (int64_t value : values) items.push_back(Long(value));
  return Tuple(items);
}
inline std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string Call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + Tuple(arguments) + "R";
}
inline std::string Ordered() { return Global("collections", "OrderedDict") + ")R"; }
// Items are keys and values in turn.
inline std::string Dict(const std::vector<std::string>& items) {
  std::string all = "}(";
  for (const std::string& item : items) all += item;
  return all + "u";
}
inline std::string StorageId(const std::string& type, const std::string& key, int64_t count, bool legacy = false) {
  std::vector<std::string> words = {Text("storage"), Global("torch", type), Text(key), Text("cpu"), Long(count)};
  if (legacy) words.push_back("N");
  return Tuple(words) + "Q";
}
inline std::string Tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                          const std::vector<int64_t>& strides) {
  return Call(Global("torch._utils", "_rebuild_tensor_v2"),
              {storage, Long(offset), Ints(shape), Ints(strides), "\x89", Ordered()});
}
inline std::string Whole(const std::string& body) { return "\x80\x02" + body + "."; }

}  // namespace ingot::test

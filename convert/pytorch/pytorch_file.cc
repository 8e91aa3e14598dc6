#include "convert/pytorch/pytorch_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>

#include "convert/pytorch/flatten.h"
#include "convert/pytorch/pickle_calls.h"
#include "convert/pytorch/unpickler.h"
#include "convert/pytorch/zip_directory.h"
#include "format/checked.h"
#include "format/text.h"

namespace ingot {
namespace {

template <typename... Args>
tl::unexpected<Error> Bad(const std::string& what, fmt::format_string<Args...> text, Args&&... args) {
  return Fail(ErrorCode::kBadInput, "{}: {}", what, fmt::format(text, std::forward<Args>(args)...));
}

// ---- a zip archive

constexpr int kMaxZipVersion = 10;  // of torch's archive format, as torch's own reader has it

// The folder that all members lie in: it has the name that the file had when it was written.
Result<std::string> FindRoot(const ZipDirectory& zip, const std::string& what) {
  if (zip.members.empty()) return Bad(what, "an empty zip archive, not a checkpoint");
  const std::string& first = zip.members.front().name;
  const size_t slash = first.find('/');
  const std::string root = first.substr(0, slash == std::string::npos ? 0 : slash + 1);
  for (const ZipMember& member : zip.members) {
    if (root.empty() || !member.name.starts_with(root)) {
      return Bad(what, "not a PyTorch checkpoint: member {} does not lie in one folder with the others",
                 Quote(root.empty() ? first : member.name));
    }
  }
  return root;
}

// The text of a small member; empty if there is none.
Result<std::string> ReadNote(const ByteSource& source, const ZipDirectory& zip, const std::string& name,
                             const std::string& what) {
  constexpr uint64_t kMost = 32;
  const ZipMember* member = zip.Find(name);
  if (member == nullptr) return std::string();
  if (member->size > kMost)
    return Bad(what, "member {}: {} bytes, at most {} are expected", Quote(name), member->size, kMost);
  std::string text(member->size, '\0');
  if (auto read = source.read(member->offset, std::as_writable_bytes(std::span(text))); !read) return Propagate(read);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Status CheckNotes(const ByteSource& source, const ZipDirectory& zip, const std::string& root, const std::string& what) {
  const auto order = ReadNote(source, zip, root + "byteorder", what);
  if (!order) return Propagate(order);
  if (!order->empty() && *order != "little") return Bad(what, "byte order {}, only 'little' is read", Quote(*order));
  for (const char* name : {"version", ".data/version"}) {
    const auto version = ReadNote(source, zip, root + name, what);
    if (!version) return Propagate(version);
    int number = 0;
    const auto [end, error] = std::from_chars(version->data(), version->data() + version->size(), number);
    if (!version->empty() && (error != std::errc() || end != version->data() + version->size() || number < 1)) {
      return Bad(what, "archive version {} is not a number", Quote(*version));
    }
    if (number > kMaxZipVersion) return Bad(what, "archive version {}, at most {} is read", number, kMaxZipVersion);
  }
  return {};
}

// A storage is the member of its key. Its CRC is not checked: it is read in pieces, in any order, and torch itself
// reads files whose CRCs are wrong, which it can be told to write.
Result<std::vector<StorageRange>> FindMembers(const Pickle& pickle, const ZipDirectory& zip, const std::string& root,
                                              const std::string& what) {
  std::vector<StorageRange> ranges;
  for (const PickleStorage& storage : pickle.storages) {
    const ZipMember* member = zip.Find(root + "data/" + storage.key);
    if (member == nullptr) return Bad(what, "storage {}: no such member", Quote(storage.key));
    const auto bytes = CheckedMul(storage.count, ElementSize(storage));
    if (!bytes || *bytes > member->size) {
      return Bad(what, "storage {}: {} elements of {} bytes in a member of {}", Quote(storage.key), storage.count,
                 ElementSize(storage), member->size);
    }
    ranges.push_back({member->offset, *bytes});
  }
  return ranges;
}

Result<FileContents> ReadZip(const ByteSource& source, const std::string& what) {
  const auto zip = ReadZipDirectory(source, what);
  if (!zip) return Propagate(zip);
  const auto root = FindRoot(*zip, what);
  if (!root) return Propagate(root);
  const ZipMember* data = zip->Find(*root + "data.pkl");
  if (data == nullptr) return Bad(what, "not a PyTorch checkpoint: no member {}", Quote(*root + "data.pkl"));
  if (zip->Find(*root + "constants.pkl") != nullptr) {
    return Bad(what, "a TorchScript archive: a program with its weights, which is not read");
  }
  if (data->size > kMaxPickleSize) {
    return Bad(what, "a pickle of {} bytes, at most {} are read", data->size, kMaxPickleSize);
  }
  if (auto checked = CheckNotes(source, *zip, *root, what); !checked) return Propagate(checked);
  if (auto whole = CheckZipMember(source, *data, what); !whole) return Propagate(whole);
  const auto pickle = ReadPickle(source, data->offset, data->offset + data->size, StorageWords::kZip, what);
  if (!pickle) return Propagate(pickle);
  if (pickle->end != data->offset + data->size) {
    return Bad(what, "{} bytes follow the pickle in {}", data->offset + data->size - pickle->end, Quote(data->name));
  }
  const auto ranges = FindMembers(*pickle, *zip, *root, what);
  if (!ranges) return Propagate(ranges);
  return FlattenPickle(*pickle, *ranges, what);
}

// ---- the older format: a magic number, a version, the writer's machine, the object, the keys; each a pickle

// 0x1950A86A20F9469CFC6C as a pickle, behind the byte with the protocol.
constexpr std::string_view kLegacyMagic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 13);
constexpr int64_t kLegacyVersion = 1001;

class LegacyReader {
 public:
  LegacyReader(const ByteSource& source, const std::string& what) : source_(source), what_(what) {}

  Result<FileContents> Read() {
    if (auto begun = CheckMagic(); !begun) return Propagate(begun);
    const auto version = Next();
    if (!version) return Propagate(version);
    const PickleValue& number = version->values[version->root];
    if (number.kind != PickleKind::kInt || number.integer != kLegacyVersion) {
      return Bad(what_, "format version {}, must be {}", Describe(*version, number), kLegacyVersion);
    }
    const auto machine = Next();
    if (!machine) return Propagate(machine);
    if (auto checked = CheckMachine(*machine); !checked) return Propagate(checked);
    const auto object = Next();
    if (!object) return Propagate(object);
    const auto keys = Next();
    if (!keys) return Propagate(keys);
    const auto ranges = PlaceStorages(*object, *keys);
    if (!ranges) return Propagate(ranges);
    return FlattenPickle(*object, *ranges, what_);
  }

 private:
  Status CheckMagic() {
    std::array<char, 2 + kLegacyMagic.size()> bytes{};
    const auto head = std::span(bytes).first(std::min<uint64_t>(source_.size, bytes.size()));
    if (auto read = source_.read(0, std::as_writable_bytes(head)); !read) return read;
    if (std::string_view(bytes.data(), bytes.size()).substr(2) != kLegacyMagic) {
      return Bad(what_, "a pickle, but not a PyTorch checkpoint: it does not begin with torch's magic number");
    }
    at_ = bytes.size();
    return {};
  }

  Result<Pickle> Next() {
    auto pickle = ReadPickle(source_, at_, source_.size, StorageWords::kLegacy, what_);
    if (pickle) at_ = pickle->end;
    return pickle;
  }

  Status CheckMachine(const Pickle& machine) const {
    const PickleValue& dict = machine.values[machine.root];
    if (dict.kind != PickleKind::kDict) return Bad(what_, "the writer's machine is {}", Describe(machine, dict));
    const std::vector<uint32_t>& items = machine.items_of(dict);
    for (size_t i = 0; i < items.size(); i += 2) {
      const PickleValue &key = machine.values[items[i]], &value = machine.values[items[i + 1]];
      if (key.kind != PickleKind::kText || machine.text(key) != "little_endian") continue;
      if (value.kind == PickleKind::kBool && value.integer != 0) return {};
      return Bad(what_, "little_endian is {}, only True is read", Describe(machine, value));
    }
    return Bad(what_, "the writer's machine does not say little_endian");
  }

  // The storages follow the pickles in the order of `keys`, each with the number of its elements in front.
  Result<std::vector<StorageRange>> PlaceStorages(const Pickle& object, const Pickle& keys) {
    const PickleValue& list = keys.values[keys.root];
    if (list.kind != PickleKind::kList) return Bad(what_, "the keys of the storages are {}", Describe(keys, list));
    std::unordered_map<std::string_view, size_t> numbers;
    for (size_t i = 0; i < object.storages.size(); ++i) numbers.emplace(object.storages[i].key, i);
    std::vector<StorageRange> ranges(object.storages.size());
    for (const uint32_t item : keys.items_of(list)) {
      const PickleValue& key = keys.values[item];
      const auto at = key.kind == PickleKind::kText ? numbers.find(keys.text(key)) : numbers.end();
      if (at == numbers.end()) return Bad(what_, "storage {} stands twice, or no tensor needs it", Describe(keys, key));
      auto range = PlaceStorage(object.storages[at->second]);
      if (!range) return Propagate(range);
      ranges[at->second] = *range;
      numbers.erase(at);
    }
    if (!numbers.empty()) return Bad(what_, "storage {} is not in the file", Quote(numbers.begin()->first));
    if (at_ == source_.size) return ranges;
    return Bad(what_, "{} bytes follow the last storage", source_.size - at_);
  }

  Result<StorageRange> PlaceStorage(const PickleStorage& storage) {
    std::array<std::byte, sizeof(uint64_t)> prefix;
    if (!InRange(at_, prefix.size(), source_.size))
      return Bad(what_, "truncated: storage {} is not there", Quote(storage.key));
    if (auto read = source_.read(at_, prefix); !read) return Propagate(read);
    const auto count = Load<uint64_t>(prefix.data());
    if (count != storage.count) {
      return Bad(what_, "storage {} has {} elements, its tensors say {}", Quote(storage.key), count, storage.count);
    }
    const uint64_t begin = at_ + prefix.size();
    const auto bytes = CheckedMul(count, ElementSize(storage));
    if (!bytes || !InRange(begin, *bytes, source_.size)) {
      return Bad(what_, "truncated: storage {} of {} elements at byte {} in a file of {} bytes", Quote(storage.key),
                 count, begin, source_.size);
    }
    at_ = begin + *bytes;
    return StorageRange{begin, *bytes};
  }

  const ByteSource& source_;
  const std::string& what_;
  uint64_t at_ = 0;
};

}  // namespace

Result<FileContents> ReadPyTorchFile(const ByteSource& source, const std::string& what) {
  std::array<char, 2> head{};
  if (source.size >= head.size()) {
    if (auto read = source.read(0, std::as_writable_bytes(std::span(head))); !read) return Propagate(read);
  }
  if (head == std::array{'P', 'K'}) return ReadZip(source, what);
  return LegacyReader(source, what).Read();
}

}  // namespace ingot

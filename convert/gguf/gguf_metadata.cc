#include "convert/gguf/gguf_metadata.h"

#include <algorithm>

#include "convert/gguf/gguf_header.h"
#include "format/index.h"
#include "format/layout.h"
#include "format/text.h"

namespace ingot {
namespace {

// By the number that GGUF gives each.
constexpr std::array kTypes = {MetadataType::kU8,     MetadataType::kI8,    MetadataType::kU16, MetadataType::kI16,
                               MetadataType::kU32,    MetadataType::kI32,   MetadataType::kF32, MetadataType::kBool,
                               MetadataType::kString, MetadataType::kArray, MetadataType::kU64, MetadataType::kI64,
                               MetadataType::kF64};

Result<MetadataType> TypeOf(const GgufCursor& cursor, uint32_t number, std::string_view what) {
  if (number < kTypes.size()) return kTypes[number];
  return cursor.Bad("{} {} is not known, the last one is {}", what, number, kTypes.size() - 1);
}

// A string as Ingot stores it, with its length as u32 before it where it is one of an array.
Status ReadString(GgufCursor& cursor, bool in_array, std::vector<std::byte>& to) {
  uint64_t length = 0;
  if (auto read = cursor.Read(length); !read) return read;
  if (length > kMaxIndexSize)
    return cursor.Bad("a string of {} bytes, at most {} are supported", length, kMaxIndexSize);
  if (in_array) Append(to, static_cast<uint32_t>(length));
  const size_t at = to.size();
  if (auto read = cursor.ReadBytes(length, to); !read) return read;
  const std::string_view text = AsText(to).substr(at);
  if (!IsUtf8(text)) return cursor.Bad("the string {} is not UTF-8", Quote(text, 64));
  return {};
}

// `count` values of a type without parts of its own.
Status ReadScalars(GgufCursor& cursor, MetadataType type, uint64_t count, std::vector<std::byte>& to) {
  const uint64_t size = MetadataScalarSize(static_cast<uint8_t>(type));
  if (count > cursor.left() / size) {
    return cursor.Bad("truncated: {} values of {} bytes each at byte {} of {}", count, size, cursor.position(),
                      cursor.size());
  }
  if (count > kMaxIndexSize / size)
    return cursor.Bad("{} values of {} bytes each, at most {} bytes are supported", count, size, kMaxIndexSize);
  if (auto read = cursor.ReadBytes(count * size, to); !read) return read;
  if (type != MetadataType::kBool) return {};
  for (std::byte value : to) {
    if (std::to_integer<int>(value) > 1) return cursor.Bad("a bool of {}, must be 0 or 1", std::to_integer<int>(value));
  }
  return {};
}

Status ReadArray(GgufCursor& cursor, MetadataValue& value) {
  uint32_t number = 0;
  uint64_t count = 0;
  if (auto read = cursor.Read(number); !read) return read;
  if (auto read = cursor.Read(count); !read) return read;
  const auto type = TypeOf(cursor, number, "element type");
  if (!type) return Propagate(type);
  if (*type == MetadataType::kArray) return cursor.Bad("an array of arrays is not supported");
  value.element_type = *type;
  if (*type != MetadataType::kString) return ReadScalars(cursor, *type, count, value.bytes);
  for (uint64_t i = 0; i < count; ++i) {
    if (auto read = ReadString(cursor, true, value.bytes); !read) return read;
    if (value.bytes.size() > kMaxIndexSize) break;  // refused by the caller
  }
  return {};
}

Status ReadValue(GgufCursor& cursor, MetadataValue& value) {
  uint32_t number = 0;
  if (auto read = cursor.Read(number); !read) return read;
  const auto type = TypeOf(cursor, number, "value type");
  if (!type) return Propagate(type);
  value.type = *type;
  if (*type == MetadataType::kArray) return ReadArray(cursor, value);
  if (*type == MetadataType::kString) return ReadString(cursor, false, value.bytes);
  return ReadScalars(cursor, *type, 1, value.bytes);
}

}  // namespace

Status ReadGgufMetadata(GgufCursor& cursor, uint64_t count, SourceMetadata& metadata) {
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < count; ++i) {
    cursor.SetPlace(fmt::format("metadata key {} of {}", i + 1, count));
    std::string key;
    if (auto read = cursor.ReadText(kMaxGgufKey, key); !read) return read;
    if (key.empty()) return cursor.Bad("it is empty");
    if (!IsUtf8(key)) return cursor.Bad("{} is not UTF-8", Quote(key));
    cursor.SetPlace("metadata key " + Quote(key));
    MetadataValue value;
    if (auto read = ReadValue(cursor, value); !read) return read;
    bytes += key.size() + value.bytes.size();
    if (bytes > kMaxIndexSize) return cursor.Bad("more than {} bytes of metadata are not supported", kMaxIndexSize);
    metadata.emplace_back(std::move(key), std::move(value));
  }
  cursor.SetPlace("");
  const auto by_key = [](const auto& a, const auto& b) { return a.first < b.first; };
  std::sort(metadata.begin(), metadata.end(), by_key);
  const auto twice = std::adjacent_find(metadata.begin(), metadata.end(),
                                        [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != metadata.end()) return cursor.Bad("metadata key {} stands twice", Quote(twice->first));
  return {};
}

}  // namespace ingot

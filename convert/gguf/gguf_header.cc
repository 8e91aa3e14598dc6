#include "convert/gguf/gguf_header.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>

#include "convert/gguf/gguf_cursor.h"
#include "convert/gguf/gguf_metadata.h"
#include "convert/safetensors.h"
#include "format/checked.h"
#include "format/layout.h"
#include "format/text.h"

namespace ingot {
namespace {

constexpr std::string_view kGgufMagic = "GGUF";
constexpr uint32_t kFirstVersion = 2, kLastVersion = 3;
constexpr uint64_t kGgufAlignment = 32;
constexpr std::string_view kAlignmentKey = "general.alignment";
// The least that a key with its value, and a tensor, take: less than that is left where a count lies.
constexpr uint64_t kLeastKey = 8 + 1 + 4 + 1, kLeastTensor = 8 + 1 + 4 + 4 + 8;

Status ReadVersion(GgufCursor& cursor, uint32_t& version) {
  std::vector<std::byte> magic;
  if (auto read = cursor.ReadBytes(kGgufMagic.size(), magic); !read) return read;
  if (AsText(magic) != kGgufMagic) return cursor.Bad("not a GGUF file: it begins with {}", Quote(AsText(magic)));
  if (auto read = cursor.Read(version); !read) return read;
  if ((version & 0xFFFF) == 0 && version != 0)
    return cursor.Bad("a big-endian file (version {}): only little-endian ones are supported", version >> 24);
  if (version < kFirstVersion || version > kLastVersion)
    return cursor.Bad("version {}, supported are {} to {}", version, kFirstVersion, kLastVersion);
  return {};
}

// A count of things that take `least` bytes each.
Status ReadCount(GgufCursor& cursor, std::string_view what, uint64_t least, uint64_t& count) {
  if (auto read = cursor.Read(count); !read) return read;
  if (count <= cursor.left() / least) return {};
  return cursor.Bad("truncated: {} {} in a file of {} bytes", count, what, cursor.size());
}

Result<uint64_t> AlignmentOf(const GgufCursor& cursor, const GgufHeader& header) {
  const MetadataValue* value = header.Find(kAlignmentKey);
  if (value == nullptr) return kGgufAlignment;
  if (value->type != MetadataType::kU32) return cursor.Bad("{} is not a u32", kAlignmentKey);
  const auto alignment = Load<uint32_t>(value->bytes.data());
  if (!std::has_single_bit(alignment)) return cursor.Bad("{} is {}, must be a power of two", kAlignmentKey, alignment);
  return alignment;
}

Status ReadType(GgufCursor& cursor, const GgufType*& type) {
  uint32_t id = 0;
  if (auto read = cursor.Read(id); !read) return read;
  type = FindGgufType(id);
  if (type == nullptr) return cursor.Bad("type {} is not known, the last one is {}", id, AllGgufTypes().back().id);
  if (type->import == GgufImport::kRefused)
    return cursor.Bad("type {} ({}) is not supported: {}", id, type->name, type->refusal);
  return {};
}

Status CheckSize(const GgufCursor& cursor, GgufTensorInfo& info) {
  const GgufType& type = *info.type;
  const uint64_t columns = info.shape.empty() ? 1 : info.shape.back();
  if (columns % type.block_elements != 0) {
    return cursor.Bad("rows of {} elements, must be a multiple of {}: blocks of {}", columns, type.block_elements,
                      type.name);
  }
  const auto elements = CheckedProduct(info.shape);
  const auto bytes = elements ? CheckedMul(*elements / type.block_elements, type.block_bytes) : std::nullopt;
  if (!bytes || *bytes >= uint64_t{1} << 63)
    return cursor.Bad("shape [{}] of {} overflows 63 bits", fmt::join(info.shape, ", "), type.name);
  if (type.import != GgufImport::kRaw && *elements >= kMaxMatrixSize)
    return cursor.Bad("{} elements of {}, less than {} are supported", *elements, type.name, kMaxMatrixSize);
  info.size = *bytes;
  return {};
}

Status ReadTensor(GgufCursor& cursor, GgufTensorInfo& info) {
  if (auto read = cursor.ReadText(kMaxGgufName, info.name); !read) return read;
  if (info.name.empty()) return cursor.Bad("its name is empty");
  if (!IsUtf8(info.name)) return cursor.Bad("its name {} is not UTF-8", Quote(info.name));
  cursor.SetPlace("tensor " + Quote(info.name));
  uint32_t rank = 0;
  if (auto read = cursor.Read(rank); !read) return read;
  if (rank > kMaxGgufDimensions) return cursor.Bad("{} dimensions, at most {} are allowed", rank, kMaxGgufDimensions);
  info.shape.resize(rank);
  for (size_t i = rank; i-- > 0;) {
    if (auto read = cursor.Read(info.shape[i]); !read) return read;
    if (info.shape[i] >= uint64_t{1} << 63)
      return cursor.Bad("dimension {} is negative: {}", rank - 1 - i, static_cast<int64_t>(info.shape[i]));
  }
  if (auto read = ReadType(cursor, info.type); !read) return read;
  if (auto fits = CheckSize(cursor, info); !fits) return fits;
  return cursor.Read(info.offset);
}

Status CheckNames(const GgufCursor& cursor, const std::vector<GgufTensorInfo>& tensors) {
  std::vector<std::string_view> names;
  for (const GgufTensorInfo& info : tensors) names.push_back(info.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) return cursor.Bad("tensor {} stands twice", Quote(*twice));
  return {};
}

// Every tensor begins where the one before it ends, padded; all lie in the file. The padding of the last one may be
// missing. Offsets become those from the start of the file.
Status PlaceTensors(GgufCursor& cursor, uint64_t alignment, std::vector<GgufTensorInfo>& tensors) {
  const auto data_begin = CheckedAlign(cursor.position(), alignment);
  std::optional<uint64_t> next = 0;
  const GgufTensorInfo* last = nullptr;
  for (GgufTensorInfo& info : tensors) {
    cursor.SetPlace("tensor " + Quote(info.name));
    if (info.offset % alignment != 0)
      return cursor.Bad("offset {} is not a multiple of {}, the alignment", info.offset, alignment);
    if (info.offset != next) {
      return cursor.Bad("offset {}, expected {}: {}", info.offset, *next,
                        last == nullptr ? "the first tensor begins at 0"
                                        : fmt::format("tensor {}, with its padding, ends there", Quote(last->name)));
    }
    const auto begin = data_begin ? CheckedAdd(*data_begin, info.offset) : std::nullopt;
    if (!begin || !InRange(*begin, info.size, cursor.size())) {
      return cursor.Bad("truncated: {} bytes at byte {} of a file of {}", info.size,
                        begin ? fmt::format("{}", *begin) : "2^64 and beyond", cursor.size());
    }
    next = CheckedAlign(info.offset + info.size, alignment);
    if (!next) return cursor.Bad("offset {} with {} bytes overflows 64 bits", info.offset, info.size);
    info.offset = *begin;
    last = &info;
  }
  cursor.SetPlace("");
  return {};
}

}  // namespace

uint64_t GgufTensorInfo::element_count() const { return size / type->block_bytes * type->block_elements; }

const MetadataValue* GgufHeader::Find(std::string_view key) const {
  const auto at = std::lower_bound(metadata.begin(), metadata.end(), key,
                                   [](const auto& pair, std::string_view wanted) { return pair.first < wanted; });
  return at != metadata.end() && at->first == key ? &at->second : nullptr;
}

Result<GgufHeader> ReadGgufHeader(const ByteSource& source, const std::string& what) {
  GgufCursor cursor(source, what);
  GgufHeader header;
  uint64_t tensors = 0, keys = 0;
  if (auto read = ReadVersion(cursor, header.version); !read) return Propagate(read);
  if (auto read = ReadCount(cursor, "tensors", kLeastTensor, tensors); !read) return Propagate(read);
  if (auto read = ReadCount(cursor, "metadata keys", kLeastKey, keys); !read) return Propagate(read);
  if (tensors > kMaxTensors) return cursor.Bad("{} tensors, more than {} are not supported", tensors, kMaxTensors);
  if (keys > kMaxGgufKeys) return cursor.Bad("{} metadata keys, more than {} are not supported", keys, kMaxGgufKeys);
  if (auto read = ReadGgufMetadata(cursor, keys, header.metadata); !read) return Propagate(read);
  const auto alignment = AlignmentOf(cursor, header);
  if (!alignment) return Propagate(alignment);
  for (uint64_t i = 0; i < tensors; ++i) {
    cursor.SetPlace(fmt::format("tensor {} of {}", i + 1, tensors));
    GgufTensorInfo info{};
    if (auto read = ReadTensor(cursor, info); !read) return Propagate(read);
    header.tensors.push_back(std::move(info));
  }
  cursor.SetPlace("");
  if (auto unique = CheckNames(cursor, header.tensors); !unique) return Propagate(unique);
  if (auto placed = PlaceTensors(cursor, *alignment, header.tensors); !placed) return Propagate(placed);
  return header;
}

}  // namespace ingot

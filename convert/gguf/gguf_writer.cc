#include "convert/gguf/gguf_writer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <set>

#include "convert/gguf/gguf_header.h"
#include "format/checked.h"
#include "format/index.h"
#include "format/text.h"

namespace ingot {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kDefaultAlignment = 32;
constexpr std::string_view kArchitectureKey = "general.architecture", kAlignmentKey = "general.alignment";

// GGUF's numbers, by those of MetadataType.
constexpr std::array<uint32_t, 13> kTypes = {7, 0, 1, 2, 3, 4, 5, 10, 11, 6, 12, 8, 9};

uint32_t NumberOf(MetadataType type) { return kTypes[static_cast<size_t>(type)]; }

void PutText(std::vector<std::byte>& out, std::string_view text) {
  Append(out, static_cast<uint64_t>(text.size()));
  Append(out, AsBytes(text));
}

void PutArray(std::vector<std::byte>& out, const MetadataValue& value) {
  Append(out, NumberOf(value.element_type));
  const ByteSpan bytes = value.bytes;
  if (value.element_type != MetadataType::kString) {
    Append(out, static_cast<uint64_t>(bytes.size() / MetadataScalarSize(static_cast<uint8_t>(value.element_type))));
    Append(out, bytes);
    return;
  }
  const size_t count_at = out.size();
  uint64_t count = 0;
  Append(out, count);
  for (size_t at = 0; at < bytes.size(); ++count) {
    const auto size = Load<uint32_t>(bytes.data() + at);
    PutText(out, AsText(bytes.subspan(at + 4, size)));
    at += 4 + size;
  }
  Store(out.data() + count_at, count);
}

void PutKey(std::vector<std::byte>& out, const std::string& key, const MetadataValue& value) {
  PutText(out, key);
  Append(out, NumberOf(value.type));
  if (value.type == MetadataType::kArray) {
    PutArray(out, value);
  } else if (value.type == MetadataType::kString) {
    PutText(out, AsText(value.bytes));
  } else {
    Append(out, ByteSpan(value.bytes));
  }
}

Result<uint64_t> AlignmentOf(const SourceMetadata& metadata, const std::string& what) {
  for (const auto& [key, value] : metadata) {
    if (key != kAlignmentKey) continue;
    const uint64_t alignment = value.type == MetadataType::kU32 ? Load<uint32_t>(value.bytes.data()) : 0;
    if (std::has_single_bit(alignment)) return alignment;
    return Fail(ErrorCode::kBadInput, "{}: metadata {} is not a u32 that is a power of two", what, kAlignmentKey);
  }
  return kDefaultAlignment;
}

// Sets the size of a tensor.
Status CheckEntry(const std::string& what, GgufEntry& entry) {
  const auto refuse = [&](const std::string& reason) -> Status {
    return Fail(ErrorCode::kBadInput, "{}: tensor {}: {}", what, Quote(entry.name), reason);
  };
  if (entry.name.size() > kMaxGgufName)
    return refuse(fmt::format("a name of {} bytes, GGUF allows {}", entry.name.size(), kMaxGgufName));
  if (entry.shape.size() > kMaxGgufDimensions)
    return refuse(fmt::format("{} dimensions, GGUF allows {}", entry.shape.size(), kMaxGgufDimensions));
  const GgufType& type = *entry.type;
  const uint64_t columns = entry.shape.empty() ? 1 : entry.shape.back();
  const auto elements = CheckedProduct(entry.shape);
  const auto bytes = elements ? CheckedMul(*elements / type.block_elements, type.block_bytes) : std::nullopt;
  const bool negative = std::any_of(entry.shape.begin(), entry.shape.end(), [](uint64_t d) { return d >> 63 != 0; });
  if (!bytes || *bytes >> 62 != 0 || negative || columns % type.block_elements != 0)
    return refuse(fmt::format("GGUF cannot have the shape [{}] of {}", fmt::join(entry.shape, ", "), type.name));
  entry.size = *bytes;
  return {};
}

// Puts the tensors one after the other from `begin` on; all have their sizes.
Status Place(const std::string& what, uint64_t begin, uint64_t alignment, std::vector<GgufEntry>& tensors,
             uint64_t& end) {
  end = begin;
  for (GgufEntry& entry : tensors) {
    entry.offset = end;
    const auto next = CheckedAdd(end, entry.size);
    const auto aligned = next ? CheckedAlign(*next, alignment) : std::nullopt;
    if (!aligned || *aligned >> 62 != 0) return Fail(ErrorCode::kBadInput, "{}: the tensors are too large", what);
    end = *aligned;
  }
  return {};
}

template <typename T>
MetadataValue ArrayOf(MetadataType type, const std::vector<T>& values) {
  MetadataValue array{MetadataType::kArray, type, {}};
  for (const T& value : values) Append(array.bytes, value);
  return array;
}

}  // namespace

Result<std::vector<std::byte>> BuildGgufHeader(const SourceMetadata& metadata, const std::string& what,
                                               std::vector<GgufEntry>& tensors, uint64_t& file_size) {
  const auto alignment = AlignmentOf(metadata, what);
  if (!alignment) return Propagate(alignment);
  std::set<std::string_view> names;
  for (GgufEntry& entry : tensors) {
    if (auto fits = CheckEntry(what, entry); !fits) return Propagate(fits);
    if (!names.insert(entry.name).second)
      return Fail(ErrorCode::kBadInput, "{}: two tensors would be named {}", what, Quote(entry.name));
  }
  std::vector<std::byte> out;
  Append(out, AsBytes("GGUF"));
  Append(out, kVersion);
  Append(out, static_cast<uint64_t>(tensors.size()));
  Append(out, static_cast<uint64_t>(metadata.size()));
  // Readers look for the architecture first.
  for (const bool first : {true, false}) {
    for (const auto& [key, value] : metadata) {
      if ((key == kArchitectureKey) == first) PutKey(out, key, value);
    }
  }
  // Offsets in the header count from where the tensors begin.
  if (auto placed = Place(what, 0, *alignment, tensors, file_size); !placed) return Propagate(placed);
  for (const GgufEntry& entry : tensors) {
    PutText(out, entry.name);
    Append(out, static_cast<uint32_t>(entry.shape.size()));
    for (size_t i = entry.shape.size(); i-- > 0;) Append(out, entry.shape[i]);
    Append(out, entry.type->id);
    Append(out, entry.offset);
  }
  const auto begin = CheckedAlign(out.size(), *alignment);
  if (!begin) return Fail(ErrorCode::kBadInput, "{}: the header is too large", what);
  if (auto placed = Place(what, *begin, *alignment, tensors, file_size); !placed) return Propagate(placed);
  return out;
}

MetadataValue GgufU32(uint32_t value) {
  MetadataValue out{MetadataType::kU32, MetadataType::kBool, {}};
  Append(out.bytes, value);
  return out;
}

MetadataValue GgufF32(float value) {
  MetadataValue out{MetadataType::kF32, MetadataType::kBool, {}};
  Append(out.bytes, value);
  return out;
}

MetadataValue GgufStrings(const std::vector<std::string>& values) {
  MetadataValue array{MetadataType::kArray, MetadataType::kString, {}};
  for (const std::string& value : values) {
    Append(array.bytes, static_cast<uint32_t>(value.size()));
    Append(array.bytes, AsBytes(value));
  }
  return array;
}

MetadataValue GgufI32s(const std::vector<int32_t>& values) { return ArrayOf(MetadataType::kI32, values); }
MetadataValue GgufF32s(const std::vector<float>& values) { return ArrayOf(MetadataType::kF32, values); }

}  // namespace ingot

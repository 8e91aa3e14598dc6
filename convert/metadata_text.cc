// Metadata values as they are written on the command line.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "convert/edit.h"
#include "format/report.h"

namespace ingot {
namespace {

constexpr std::array<std::string_view, 12> kTypeNames = {"bool", "u8",  "i8",  "u16", "i16", "u32",
                                                         "i32",  "u64", "i64", "f32", "f64", "string"};

template <typename T>
bool ParseNumber(std::string_view text, std::vector<std::byte>& out) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  Append(out, value);
  return true;
}

bool ParseValue(MetadataType type, std::string_view text, std::vector<std::byte>& out) {
  switch (type) {
    case MetadataType::kBool:
      if (text != "true" && text != "false") return false;
      Append(out, static_cast<uint8_t>(text == "true"));
      return true;
    case MetadataType::kU8:
      return ParseNumber<uint8_t>(text, out);
    case MetadataType::kI8:
      return ParseNumber<int8_t>(text, out);
    case MetadataType::kU16:
      return ParseNumber<uint16_t>(text, out);
    case MetadataType::kI16:
      return ParseNumber<int16_t>(text, out);
    case MetadataType::kU32:
      return ParseNumber<uint32_t>(text, out);
    case MetadataType::kI32:
      return ParseNumber<int32_t>(text, out);
    case MetadataType::kU64:
      return ParseNumber<uint64_t>(text, out);
    case MetadataType::kI64:
      return ParseNumber<int64_t>(text, out);
    case MetadataType::kF32:
      return ParseNumber<float>(text, out);
    case MetadataType::kF64:
      return ParseNumber<double>(text, out);
    default:
      Append(out, AsBytes(text));
      return IsUtf8(text);
  }
}

}  // namespace

Result<std::pair<std::string, MetadataValue>> ParseMetadata(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos)
    return Fail(ErrorCode::kUsage, "'{}': expected KEY=VALUE or KEY:TYPE=VALUE", Escape(text));
  std::string_view key = text.substr(0, equals);
  const std::string_view value_text = text.substr(equals + 1);
  MetadataValue value;
  if (const size_t colon = key.rfind(':'); colon != std::string_view::npos) {
    for (size_t i = 0; i < kTypeNames.size(); ++i) {
      if (key.substr(colon + 1) != kTypeNames[i]) continue;
      value.type = static_cast<MetadataType>(i);
      key = key.substr(0, colon);
      break;
    }
  }
  if (key.empty() || key.size() > kMaxNameSize || !IsUtf8(key))
    return Fail(ErrorCode::kUsage, "'{}': a key is UTF-8 of 1 to {} bytes", Escape(key), kMaxNameSize);
  if (key.starts_with("ingot."))
    return Fail(ErrorCode::kUsage, "'{}': keys that begin with 'ingot.' are reserved", Escape(key));
  if (!ParseValue(value.type, value_text, value.bytes)) {
    return Fail(ErrorCode::kUsage, "'{}': '{}' is not a value of type {}", Escape(key), Escape(value_text),
                kTypeNames[static_cast<size_t>(value.type)]);
  }
  return std::make_pair(std::string(key), std::move(value));
}

}  // namespace ingot

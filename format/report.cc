#include "format/report.h"

#include <cstring>

#include "format/bytes.h"

namespace ingot {
namespace {

// The length of the well-formed UTF-8 character at `at` (0 if there is none) and its value.
size_t DecodeUtf8(std::string_view text, size_t at, uint32_t& value) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(at);
  if (lead < 0x80) {
    value = lead;
    return 1;
  }
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - at < size) return 0;
  value = lead & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
    value = value << 6 | (byte(at + i) & 0x3Fu);
  }
  const bool overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  const bool surrogate = value >= 0xD800 && value < 0xE000;
  return overlong || surrogate || value > 0x10FFFF ? 0 : size;
}

bool IsControl(uint32_t value) { return value < 0x20 || (value >= 0x7F && value < 0xA0); }

bool IsSafeComponent(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  for (size_t at = 0; at < name.size();) {
    uint32_t value;
    const size_t size = DecodeUtf8(name, at, value);
    if (size == 0 || IsControl(value) || value == '/' || value == '\\' || value == ':') return false;
    at += size;
  }
  return true;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= 8 && (Load<uint64_t>(AsBytes(text).data() + at) & 0x8080808080808080u) == 0) {
      at += 8;
      continue;
    }
    uint32_t value;
    const size_t size = DecodeUtf8(text, at, value);
    if (size == 0) return false;
    at += size;
  }
  return true;
}

std::string Escape(std::string_view text, size_t most) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (out.size() >= most) return out + "...";
    uint32_t value;
    const size_t size = DecodeUtf8(text, at, value);
    if (size == 0) {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[at]));
    } else if (IsControl(value) || value == 0x2028 || value == 0x2029 || (value >= 0x202A && value <= 0x202E) ||
               (value >= 0x2066 && value <= 0x2069)) {
      out += value == '\n' ? std::string("\\n") : fmt::format("\\u{:04x}", value);  // also what turns text around
    } else if (value == '\'' || value == '\\') {
      out += '\\';
      out += static_cast<char>(value);
    } else {
      out += text.substr(at, size);
    }
    at += size == 0 ? 1 : size;
  }
  return out;
}

bool IsSafeName(std::string_view name, int components) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return IsSafeComponent(name);
  return components > 1 && IsSafeComponent(name.substr(0, slash)) && IsSafeName(name.substr(slash + 1), components - 1);
}

}  // namespace ingot

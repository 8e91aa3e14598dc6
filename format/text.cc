#include "format/text.h"

#include <fmt/format.h>

#include <iterator>

#include "format/bytes.h"

namespace ingot {
namespace {

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7F && c <= 0x9F); }

// Characters that reorder or hide what is printed around them (U+2028 and U+2029 end a line).
bool IsMisleading(char32_t c) {
  return (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF;
}

}  // namespace

size_t DecodeUtf8(std::string_view text, char32_t& code_point) {
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if ((first >= 0x80 && first < 0xC2) || first > 0xF4 || text.size() < length) return 0;
  static constexpr unsigned char kFirstMask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  static constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  code_point = first & kFirstMask[length];
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return 0;
    code_point = (code_point << 6) | (next & 0x3F);
  }
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  return code_point < kSmallest[length] || code_point > 0x10FFFF || surrogate ? 0 : length;
}

bool IsUtf8(std::string_view text) {
  const std::byte* bytes = AsBytes(text).data();
  for (size_t at = 0; at < text.size();) {
    const size_t left = text.size() - at;
    if (left >= 8 && (Load<uint64_t>(bytes + at) & 0x8080808080808080u) == 0) {  // eight of ASCII
      at += 8;
    } else if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
    } else {
      char32_t value;
      const size_t size = DecodeUtf8(text.substr(at), value);
      if (size == 0) return false;
      at += size;
    }
  }
  return true;
}

std::string Escape(std::string_view text, size_t limit) {
  std::string out;
  while (!text.empty()) {
    char32_t c = 0;
    const size_t length = DecodeUtf8(text, c), taken = length == 0 ? 1 : length;
    if (taken > limit) return out + "...";
    if (length == 0 || IsControl(c) || IsMisleading(c)) {
      for (char byte : text.substr(0, taken)) {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(byte));
      }
    } else {
      out += text.substr(0, taken);
    }
    limit -= taken;
    text.remove_prefix(taken);
  }
  return out;
}

std::string Quote(std::string_view name, size_t limit) { return "'" + Escape(name, limit) + "'"; }

namespace {

bool IsSafeComponent(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  while (!name.empty()) {
    char32_t c = 0;
    const size_t length = DecodeUtf8(name, c);
    if (length == 0 || IsControl(c) || c == '/' || c == '\\' || c == ':') return false;
    name.remove_prefix(length);
  }
  return true;
}

}  // namespace

bool IsSafeName(std::string_view name, int components) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return IsSafeComponent(name);
  return components > 1 && IsSafeComponent(name.substr(0, slash)) && IsSafeName(name.substr(slash + 1), components - 1);
}

}  // namespace ingot

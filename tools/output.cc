#include "tools/output.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ingot {
namespace {

int write_error = 0;  // errno of the first write to standard output that failed

std::string Styled(const char* code, std::string_view text) {
  static const bool colours = IsTerminal(STDOUT_FILENO) && std::getenv("NO_COLOR") == nullptr;
  return colours ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
}

}  // namespace

void Write(std::string_view text) {
  if (write_error != 0) return;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) write_error = errno;
}

void Complain(std::string_view text) {
  const std::string line = "ingot: " + WithoutControls(text) + "\n";
  std::fflush(stdout);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

Status FlushOutput() {
  if (std::fflush(stdout) != 0 && write_error == 0) write_error = errno;
  if (write_error == 0) return {};
  return Fail(ErrorCode::kIo, "standard output: cannot write: {}", std::strerror(write_error));
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json NumberOrText(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

std::string WithoutControls(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;  // U+0080 to U+009F
    if ((byte < 0x20 && byte != '\n') || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else if (c1) {
      out += fmt::format("\\u{:04x}", next);
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool IsTerminal(int descriptor) { return isatty(descriptor) == 1; }

std::string Bold(std::string_view text) { return Styled("1", text); }
std::string Dim(std::string_view text) { return Styled("2", text); }
std::string Red(std::string_view text) { return Styled("31", text); }
std::string Green(std::string_view text) { return Styled("32", text); }

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1024) return Counted(bytes, "byte");
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.995 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.2f} {}", value, kUnits[unit]);
}

std::string Grouped(uint64_t value) {
  const std::string digits = fmt::format("{}", value);
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string HumanCount(uint64_t count) {
  if (count < 1000) return fmt::format("{}", count);
  constexpr std::array kUnits = {"K", "M", "B", "T", "P", "E"};
  double value = static_cast<double>(count) / 1000;
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : value < 100 ? 1 : 0, kUnits[unit]);
}

std::string Counted(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", Grouped(count), noun, count == 1 ? "" : "s");
}

std::string Bar(double fraction, int width) {
  constexpr std::array<std::string_view, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const double clipped = std::clamp(std::isfinite(fraction) ? fraction : 0.0, 0.0, 1.0);
  const auto eighths = static_cast<int>(std::lround(clipped * width * 8));
  std::string out;
  for (int i = 0; i < eighths / 8; ++i) out += "█";
  out += kEighths[static_cast<size_t>(eighths % 8)];
  if (out.empty() && fraction > 0) out = kEighths[1];
  return out;
}

}  // namespace ingot

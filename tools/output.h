// What commands print: results on standard output, everything else on standard error, text from files made harmless.
// Not thread-safe: one thread prints.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "format/status.h"

namespace ingot {

// JSON whose members keep their order.
using Json = nlohmann::ordered_json;

// Writes to standard output. A failure is not lost: FlushOutput reports it.
void Write(std::string_view text);

template <typename... Args>
void Print(fmt::format_string<Args...> text, Args&&... args) {
  Write(fmt::format(text, std::forward<Args>(args)...));
}

// "ingot: TEXT" on standard error, control characters escaped.
void Complain(std::string_view text);

// Flushes standard output; kIo if anything written to it was lost.
Status FlushOutput();

// One line of JSON text; whatever is not UTF-8 is replaced.
std::string Dump(const Json& json);
// A number that JSON may not have (NaN, infinity) as the text "nan", "inf" or "-inf".
Json NumberOrText(double value);

// The bytes of a path or message with control characters escaped and nothing else changed.
std::string WithoutControls(std::string_view text);

bool IsTerminal(int descriptor);

// Styled text if standard output is a terminal and NO_COLOR is not set, else the text itself.
std::string Bold(std::string_view text);
std::string Dim(std::string_view text);
std::string Red(std::string_view text);
std::string Green(std::string_view text);

// "1.50 MiB", "12 bytes".
std::string HumanBytes(uint64_t bytes);
// "1,234,567".
std::string Grouped(uint64_t value);
// "1.23 B", "45.6 M", "789": a count of parameters.
std::string HumanCount(uint64_t count);
// "2 tensors", "1 tensor".
std::string Counted(uint64_t count, std::string_view noun);
// A bar of eighths of blocks, `width` cells wide at 1.
std::string Bar(double fraction, int width);
// "[2, 3]".
template <typename Shape>
std::string ShapeText(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace ingot

// Text that comes from a file: whether it is UTF-8, whether it may name a file, how it is shown. Pure functions;
// thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ingot {

// The length of the well-formed UTF-8 sequence at the front of `text` and its code point; 0 if there is none (no
// surrogates, no overlong forms, nothing above U+10FFFF).
size_t DecodeUtf8(std::string_view text, char32_t& code_point);

// Whether all of `text` is well-formed UTF-8.
bool IsUtf8(std::string_view text);

// Whether `name` is a safe file name of at most `components` components (spec/FORMAT.md, section 8).
bool IsSafeName(std::string_view name, int components);

// Text fit to print: control characters, characters that reorder or hide what is around them, and bytes that are not
// UTF-8 are escaped as \xNN; what is longer than `limit` bytes is cut and marked with "...".
std::string Escape(std::string_view text, size_t limit = 256);

// The same in single quotes.
std::string Quote(std::string_view text, size_t limit = 256);

}  // namespace ingot

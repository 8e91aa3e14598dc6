#include "format/text.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace std::string_literals;

namespace ingot {
namespace {

std::string Encode(uint32_t c) {
  const auto byte = [](uint32_t v) { return static_cast<char>(v); };
  const auto next = [&](int shift) { return byte(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), next(0)};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), next(6), next(0)};
  return {byte(0xF0 | c >> 18), next(12), next(6), next(0)};
}

// Table 3-7 of the Unicode standard, "Well-Formed UTF-8 Byte Sequences": the ranges of each byte.
struct Row {
  unsigned char first_low, first_high, second_low, second_high;
  size_t length;
};
constexpr Row kWellFormed[] = {
    {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

size_t LengthByTable(const std::string& text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (const Row& row : kWellFormed) {
    if (text.empty() || at(0) < row.first_low || at(0) > row.first_high) continue;
    if (text.size() < row.length) return 0;
    if (row.length > 1 && (at(1) < row.second_low || at(1) > row.second_high)) return 0;
    for (size_t i = 2; i < row.length; ++i) {
      if (at(i) < 0x80 || at(i) > 0xBF) return 0;
    }
    return row.length;
  }
  return 0;
}

TEST_CASE("every code point comes back, no surrogate does") {
  size_t wrong = 0;
  for (uint32_t c = 0; c < 0x110800; ++c) {
    const std::string text = Encode(c);
    const bool valid = (c < 0xD800 || c > 0xDFFF) && c <= 0x10FFFF;
    char32_t decoded = 0;
    const size_t length = DecodeUtf8(text, decoded);
    wrong += length != (valid ? text.size() : 0) || (valid && decoded != c) || IsUtf8(text) != valid;
  }
  CHECK(wrong == 0);
}

TEST_CASE("what is well-formed agrees with the table of the Unicode standard") {
  size_t wrong = 0;
  const auto check = [&](const std::string& text) {
    char32_t c;
    wrong += DecodeUtf8(text, c) != LengthByTable(text);
  };
  check("");
  const std::vector<unsigned> edges = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
  for (unsigned a = 0; a < 256; ++a) {
    check({static_cast<char>(a)});
    for (unsigned b = 0; b < 256; ++b) {
      const std::string two = {static_cast<char>(a), static_cast<char>(b)};
      check(two);
      for (unsigned c : edges) {
        check(two + static_cast<char>(c));
        for (unsigned d : edges) check(two + static_cast<char>(c) + static_cast<char>(d));
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("ill-formed bytes are found wherever they stand") {
  const std::string filler = "abcdefghijklmnopqrst";
  for (const std::string& bad :
       {"\x80"s, "\xC0\x80"s, "\xC1\xBF"s, "\xE0\x9F\xBF"s, "\xED\xA0\x80"s, "\xF0\x8F\xBF\xBF"s, "\xF4\x90\x80\x80"s,
        "\xF5\x80\x80\x80"s, "\xFE"s, "\xFF"s, "\xC2"s, "\xE2\x82"s, "\xF0\x9F\x98"s}) {
    for (size_t at = 0; at <= filler.size(); ++at) {
      std::string text = filler;
      CHECK(IsUtf8(text.insert(at, "\u00e9\U0001F600")));
      CHECK_FALSE(IsUtf8(text.insert(at, bad)));
    }
  }
  CHECK(IsUtf8(""));
  CHECK(IsUtf8("\0"s));
}

TEST_CASE("safe names") {
  const std::string longest(255, 'n');
  for (const std::string& good :
       {"a"s, "config.json"s, "..."s, ".hidden"s, "a b"s, "\u00e9\U0001F600"s, longest, "-"s, "*?"s, "\u00a0"s, "~"s}) {
    CAPTURE(good);
    CHECK(IsSafeName(good, 1));
    CHECK(IsSafeName(good + "/" + good, 2));
    CHECK_FALSE(IsSafeName(good + "/" + good, 1));
    CHECK_FALSE(IsSafeName(good + "/" + good + "/" + good, 2));
  }
  for (const std::string& bad : {""s, "."s, ".."s, "a\\b"s, "a:b"s, "\0"s, "a\0"s, "\x1F"s, "\n"s, "\x7F"s, "\u0080"s,
                                 "\u009F"s, "\xFF"s, "\xED\xA0\x80"s, longest + "n"}) {
    CAPTURE(bad);
    CHECK_FALSE(IsSafeName(bad, 1));
    CHECK_FALSE(IsSafeName(bad, 2));
    CHECK_FALSE(IsSafeName("a/" + bad, 2));
    CHECK_FALSE(IsSafeName(bad + "/a", 2));
  }
  CHECK_FALSE(IsSafeName("/", 2));
  CHECK_FALSE(IsSafeName("/a", 2));
  CHECK_FALSE(IsSafeName("a/", 2));
  CHECK_FALSE(IsSafeName("a//b", 2));
}

TEST_CASE("what is printed can neither move the cursor nor hide what is around it") {
  CHECK(Escape("plain text \u00e9 \U0001F600") == "plain text \u00e9 \U0001F600");
  CHECK(Escape("a\nb\t\0"s) == "a\\x0ab\\x09\\x00");
  CHECK(Escape("\x1b[2J") == "\\x1b[2J");
  CHECK(Escape("\x7F\xC2\x9B") == "\\x7f\\xc2\\x9b");
  CHECK(Escape("a\xFF\xC2z") == "a\\xff\\xc2z");
  CHECK(Escape("\xED\xA0\x80") == "\\xed\\xa0\\x80");
  for (const char* hidden : {"\u200b", "\u200f", "\u2028", "\u202e", "\u2066", "\u2069", "\ufeff"}) {
    const std::string text = Escape(hidden);
    CHECK(text.starts_with("\\x"));
    CHECK(text.size() == 12);
  }
  CHECK(Quote("a'b") == "'a'b'");
}

TEST_CASE("long text is cut between characters") {
  CHECK(Escape("abcdef", 6) == "abcdef");
  CHECK(Escape("abcdefg", 6) == "abcdef...");
  CHECK(Escape("abcde\u00e9", 6) == "abcde...");
  CHECK(Escape("\xFF\xFF\xFF", 2) == "\\xff\\xff...");
  CHECK(Escape("abc", 0) == "...");
  CHECK(Escape(std::string(1000, 'x')) == std::string(256, 'x') + "...");
  CHECK(Quote("abcdefg", 3) == "'abc...'");
}

}  // namespace
}  // namespace ingot

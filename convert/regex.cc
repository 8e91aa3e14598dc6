#include "convert/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "format/text.h"

namespace ingot {
namespace {

constexpr size_t kMaxPattern = 4096;  // bytes
// A sensible pattern takes tens of steps on a name. The count restarts at every byte of the name.
constexpr uint32_t kMatchLimit = 100'000;
constexpr uint32_t kDepthLimit = 10'000;
constexpr uint32_t kHeapLimitKiB = 16 << 10;

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using CodePointer = std::unique_ptr<pcre2_code, Freer<pcre2_code_free>>;
using ContextPointer = std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using MatchDataPointer = std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;

std::string MessageOf(int error) {
  std::array<PCRE2_UCHAR, 256> text = {};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct Regex::Code {
  CodePointer code;
  ContextPointer context;
};

Regex::Regex(std::string pattern, std::shared_ptr<const Code> code)
    : pattern_(std::move(pattern)), code_(std::move(code)) {}

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPattern) {
    return Fail(ErrorCode::kBadInput, "regular expression {}: {} bytes, at most {} are allowed", Quote(pattern, 40),
                pattern.size(), kMaxPattern);
  }
  int error = 0;
  size_t offset = 0;
  // Names are UTF-8 as far as the sources say; one that is not is no error here, its broken bytes just match nothing.
  constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
  CodePointer code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), kOptions, &error, &offset, nullptr));
  if (!code) {
    return Fail(ErrorCode::kBadInput, "regular expression {}: {} at byte {}", Quote(pattern), MessageOf(error), offset);
  }
  ContextPointer context(pcre2_match_context_create(nullptr));
  if (!context) return Fail(ErrorCode::kBadInput, "regular expression {}: not enough memory", Quote(pattern));
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_depth_limit(context.get(), kDepthLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKiB);
  return Regex(std::string(pattern), std::make_shared<Code>(Code{std::move(code), std::move(context)}));
}

Result<bool> Regex::Matches(std::string_view subject) const {
  // One pair is enough to learn that there is a match; the data is not shared, so that threads may match at once.
  const MatchDataPointer data(pcre2_match_data_create(1, nullptr));
  if (!data) return Fail(ErrorCode::kBadInput, "regular expression {}: not enough memory", Quote(pattern_));
  const int found = pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), 0, 0,
                                data.get(), code_->context.get());
  if (found >= 0) return true;
  if (found == PCRE2_ERROR_NOMATCH) return false;
  return Fail(ErrorCode::kBadInput, "regular expression {} on {}: {}", Quote(pattern_), Quote(subject),
              MessageOf(found));
}

}  // namespace ingot

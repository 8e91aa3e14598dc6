// JSON from files that may be hostile. The grammar is nlohmann-json's; on top of it duplicate keys, nesting over 64
// levels, NUL bytes and absurd numbers of keys are refused, and no exception leaves. Functions are thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "convert/byte_source.h"
#include "format/status.h"

namespace ingot {

inline constexpr int kMaxJsonDepth = 64;
// Keys of all objects that are open at one time: bounds the memory that finding duplicates takes.
inline constexpr uint64_t kMaxJsonKeys = uint64_t{1} << 21;

// A value that is no container. A number without sign, point and exponent that fits is a uint64_t, exact; one with a
// sign an int64_t (also -0); all others are doubles.
using JsonValue = std::variant<std::nullptr_t, bool, uint64_t, int64_t, double, std::string>;

// "-3", "the text 'abc'", "true": a value as messages name it.
std::string Describe(const JsonValue& value);
// The value if it is a whole number of 0 or more; otherwise kBadInput with "is -3, must be a whole number of 0 or
// more".
Result<uint64_t> AsSize(const JsonValue& value);

// Receives a JSON text piece by piece, in order. What it is handed it may move from. An error that it returns ends the
// reading and is passed on with the file's name and the position in front.
class JsonHandler {
 public:
  virtual ~JsonHandler() = default;
  virtual Status StartObject() = 0;
  virtual Status EndObject() = 0;
  virtual Status StartArray() = 0;
  virtual Status EndArray() = 0;
  virtual Status Key(std::string& key) = 0;
  virtual Status Value(JsonValue& value) = 0;
};

// Reads the JSON text in bytes [offset, offset + length) of `source` in blocks, never holding the whole. `what` names
// the source in messages: "{what}: byte {position}: ...", the position counted from the start of the source. Errors:
// kBadInput for the text, what `source` returns, what `handler` returns.
Status ReadJson(const ByteSource& source, uint64_t offset, uint64_t length, const std::string& what,
                JsonHandler& handler);

// A whole document as a value, for small texts (the caller limits the size). Same rejections.
Result<nlohmann::json> ParseJson(std::string_view text, const std::string& what);

}  // namespace ingot

#include "convert/import/config.h"

#include "format/text.h"

namespace ingot {

const nlohmann::json* Config::Find(std::string_view key) const {
  const auto at = object_.find(key);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

tl::unexpected<Error> Config::WrongType(std::string_view key, std::string_view expected) const {
  constexpr size_t kMost = 60;
  const std::string value = Find(key)->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return Fail(ErrorCode::kBadInput, "{}: {} is {}, must be {}", what_, key,
              value.size() > kMost ? value.substr(0, kMost) + "..." : value, expected);
}

Result<std::optional<int64_t>> Config::Integer(std::string_view key) const {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer() || (value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX))
    return WrongType(key, "a whole number");
  return value->get<int64_t>();
}

Result<std::optional<bool>> Config::Bool(std::string_view key) const {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) return WrongType(key, "true or false");
  return value->get<bool>();
}

Result<std::optional<std::string>> Config::Text(std::string_view key) const {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return WrongType(key, "a text");
  return value->get<std::string>();
}

Result<Config> Config::Object(std::string_view key) const {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return Config(nlohmann::json::object(), what_ + ": " + std::string(key));
  if (!value->is_object()) return WrongType(key, "an object");
  return Config(*value, what_ + ": " + std::string(key));
}

}  // namespace ingot

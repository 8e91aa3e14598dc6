// Values of a checkpoint's JSON configuration, which may be hostile: looked up with their type checked. Thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "format/status.h"

namespace ingot {

// A JSON object and its name in messages ("config.json: quantization_config"). Values that are null count as absent. A
// value of another type is kBadInput naming key and value.
class Config {
 public:
  Config() = default;
  Config(nlohmann::json object, std::string what) : object_(std::move(object)), what_(std::move(what)) {}

  bool empty() const { return object_.empty(); }
  const std::string& what() const { return what_; }
  const nlohmann::json& json() const { return object_; }

  // The value under `key`, or nullptr.
  const nlohmann::json* Find(std::string_view key) const;
  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  Result<std::optional<int64_t>> Integer(std::string_view key) const;
  Result<std::optional<bool>> Bool(std::string_view key) const;
  Result<std::optional<std::string>> Text(std::string_view key) const;
  // The object under `key`; an empty one if there is none.
  Result<Config> Object(std::string_view key) const;

 private:
  tl::unexpected<Error> WrongType(std::string_view key, std::string_view expected) const;

  nlohmann::json object_ = nlohmann::json::object();
  std::string what_;
};

}  // namespace ingot

// The conformance vectors under tests/vectors and what is expected of them (tests/vectors/README.md).
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "format/bytes.h"
#include "format/hash.h"

namespace ingot::test {

inline const std::string kVectors = INGOT_SOURCE_DIR "/tests/vectors/";

inline nlohmann::json ReadJsonFile(const std::string& path) {
  std::ifstream file(path);
  REQUIRE_MESSAGE(file, path);
  return nlohmann::json::parse(file);
}

// The paths of all valid vectors, without their ending.
inline std::vector<std::string> ValidVectors() {
  std::vector<std::string> stems;
  for (const auto& entry : std::filesystem::directory_iterator(kVectors + "valid")) {
    const std::string path = entry.path().string();
    if (path.ends_with(".ingot")) stems.push_back(path.substr(0, path.size() - 6));
  }
  std::sort(stems.begin(), stems.end());
  REQUIRE(stems.size() > 40);
  return stems;
}

struct InvalidVector {
  std::string name, path, rule;
};
inline std::vector<InvalidVector> InvalidVectors() {
  const nlohmann::json index = ReadJsonFile(kVectors + "invalid/index.json");
  std::vector<InvalidVector> out;
  for (const auto& [name, entry] : index.items()) {
    out.push_back({name, kVectors + "invalid/" + name, entry["rule"].get<std::string>()});
  }
  REQUIRE(out.size() > 300);
  return out;
}

// Whether `rule` needs the bytes of planes (spec/FORMAT.md, "structure only").
inline bool NeedsPlanes(const std::string& rule) {
  for (const char* prefix : {"R-FRM-6", "R-FRM-7", "R-CHK-1", "R-SHA-2", "R-PACK-1", "R-LIN-7", "R-PERM-", "R-OUT-"}) {
    if (rule.starts_with(prefix)) return true;
  }
  return false;
}

// Whether bytes are those that the JSON gives: hexadecimal, or size and hash.
inline bool Matches(ByteSpan bytes, const nlohmann::json& expected) {
  if (expected.is_string()) return ToHex(bytes) == expected.get<std::string>();
  return bytes.size() == expected["bytes"].get<uint64_t>() &&
         "xxh3:" + ToHex(Xxh3_128(bytes)) == expected["hash"].get<std::string>();
}

}  // namespace ingot::test

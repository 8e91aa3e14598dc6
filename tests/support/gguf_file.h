// Small GGUF files, written by the rules of that format and by nothing of Ingot's.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "format/bytes.h"

namespace ingot::test {

struct GgufTensorSpec {
  std::string name;
  std::vector<uint64_t> ne;  // the fastest dimension first
  uint32_t type;
  std::vector<std::byte> data;
  std::optional<uint64_t> offset = {};  // instead of the right one
};

inline std::vector<std::byte> GgufText(std::string_view text) {
  std::vector<std::byte> out;
  Append(out, uint64_t{text.size()});
  Append(out, AsBytes(text));
  return out;
}

// A key, the number of its type and the bytes of the value.
inline std::vector<std::byte> GgufKey(std::string_view key, uint32_t type, ByteSpan value) {
  std::vector<std::byte> out = GgufText(key);
  Append(out, type);
  Append(out, value);
  return out;
}
template <typename T>
std::vector<std::byte> GgufNumber(std::string_view key, uint32_t type, T value) {
  std::vector<std::byte> bytes;
  Append(bytes, value);
  return GgufKey(key, type, bytes);
}
inline std::vector<std::byte> GgufArray(std::string_view key, uint32_t type, uint64_t count, ByteSpan values) {
  std::vector<std::byte> bytes;
  Append(bytes, type);
  Append(bytes, count);
  Append(bytes, values);
  return GgufKey(key, 9, bytes);
}

struct GgufFile {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;                   // of the offsets; the key is for the test to add
  std::vector<std::vector<std::byte>> keys;  // from GgufKey and its kin
  std::vector<GgufTensorSpec> tensors;
  std::optional<uint64_t> tensor_count = {}, key_count = {};  // instead of the right ones

  std::vector<std::byte> Build() const {
    std::vector<std::byte> out, data;
    Append(out, AsBytes(magic));
    Append(out, version);
    Append(out, tensor_count.value_or(tensors.size()));
    Append(out, key_count.value_or(keys.size()));
    for (const auto& key : keys) Append(out, ByteSpan(key));
    for (const GgufTensorSpec& t : tensors) {
      Append(out, ByteSpan(GgufText(t.name)));
      Append(out, static_cast<uint32_t>(t.ne.size()));
      for (uint64_t n : t.ne) Append(out, n);
      Append(out, t.type);
      Append(out, t.offset.value_or(data.size()));
      Append(data, ByteSpan(t.data));
      Pad(data);
    }
    Pad(out);
    Append(out, ByteSpan(data));
    return out;
  }

 private:
  void Pad(std::vector<std::byte>& bytes) const {
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
  }
};

// Any bits: f16 of all kinds, NaN and infinity among them.
inline std::vector<std::byte> RandomBlocks(uint64_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> out(size);
  for (std::byte& b : out) b = static_cast<std::byte>(random());
  return out;
}

}  // namespace ingot::test

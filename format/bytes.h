// Explicit little-endian loads and stores. The caller has checked the range; no struct is ever cast over file bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace ingot {

using ByteSpan = std::span<const std::byte>;

static_assert(std::endian::native == std::endian::little, "Ingot supports little-endian hosts");

// Reads an unsigned integer or float of type T from possibly unaligned bytes.
template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Writes it.
template <typename T>
void Store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

// Appends it to a growing buffer.
template <typename T>
void Append(std::vector<std::byte>& to, T value) {
  to.resize(to.size() + sizeof value);
  Store(to.data() + to.size() - sizeof value, value);
}

inline void Append(std::vector<std::byte>& to, ByteSpan bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

inline ByteSpan AsBytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

inline std::string_view AsText(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace ingot

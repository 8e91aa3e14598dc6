#include "runtime/mapping.h"

#include <sys/mman.h>

#include <cstdlib>
#include <string_view>
#include <utility>

namespace ingot {

std::optional<Mapping> Mapping::Map(const File& file) {
  const char* off = std::getenv("INGOT_NO_MMAP");
  if ((off != nullptr && std::string_view(off) != "0" && *off != '\0') || file.size() == 0) return std::nullopt;
  void* at = mmap(nullptr, file.size(), PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (at == MAP_FAILED) return std::nullopt;
  return Mapping({static_cast<const std::byte*>(at), file.size()});
}

Mapping::Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

Mapping::~Mapping() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

bool Mapping::Resident(uint64_t offset, uint64_t size) const {
  constexpr uint64_t kPage = 4096, kSamples = 4;
  for (uint64_t i = 0; i < kSamples; ++i) {
    const uint64_t at = (offset + (size - 1) * i / (kSamples - 1)) & ~(kPage - 1);
    unsigned char page = 0;
    if (mincore(const_cast<std::byte*>(bytes_.data()) + at, 1, &page) != 0 || (page & 1) == 0) return false;
  }
  return true;
}

}  // namespace ingot

#include "runtime/mapping.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "format/checked.h"

namespace ingot {
namespace {

constexpr uint64_t kPage = 4096;

}  // namespace

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
  constexpr uint64_t kSamples = 4;
  for (uint64_t i = 0; i < kSamples; ++i) {
    const uint64_t at = (offset + (size - 1) * i / (kSamples - 1)) & ~(kPage - 1);
    unsigned char page = 0;
    if (mincore(const_cast<std::byte*>(bytes_.data()) + at, 1, &page) != 0 || (page & 1) == 0) return false;
  }
  return true;
}

uint64_t Mapping::ResidentBytes() const {
  uint64_t pages = 0;
  std::array<unsigned char, 16384> resident;
  for (uint64_t at = 0; at < bytes_.size(); at += resident.size() * kPage) {
    const uint64_t size = std::min(resident.size() * kPage, bytes_.size() - at);
    if (mincore(const_cast<std::byte*>(bytes_.data()) + at, size, resident.data()) != 0) break;
    for (uint64_t i = 0; i < CeilDiv(size, kPage); ++i) pages += resident[i] & 1;
  }
  return std::min(pages * kPage, bytes_.size());
}

void Mapping::Populate(uint64_t offset, uint64_t size) const {
#ifdef MADV_POPULATE_READ
  const uint64_t first = offset & ~(kPage - 1);
  madvise(const_cast<std::byte*>(bytes_.data()) + first, offset + size - first, MADV_POPULATE_READ);
#else
  (void)offset, (void)size;
#endif
}

}  // namespace ingot

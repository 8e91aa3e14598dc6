#include "runtime/reservation.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "format/checked.h"

namespace ingot {
namespace {

constexpr uint64_t kHugePage = 2u << 20;

}  // namespace

Result<Reservation> Reservation::Make(uint64_t size, Pages pages, const std::string& what) {
  const uint64_t slack = size < kHugePage ? 0 : kHugePage;
  const auto room = CheckedAlign(size, slack == 0 ? 4096 : kHugePage);
  const auto mapped = room ? CheckedAdd(*room, slack) : std::nullopt;
  void* at = MAP_FAILED;
  if (mapped && *mapped > 0)
    at = mmap(nullptr, *mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return Fail(ErrorCode::kMemory, "{}: no address space for {} bytes: {}", what, size,
                mapped ? std::strerror(errno) : "too many");
  }
  Reservation out;
  out.mapped_ = at;
  out.mapped_size_ = *mapped;
  const uint64_t address = reinterpret_cast<uintptr_t>(at);
  const uint64_t skip = slack == 0 ? 0 : (kHugePage - address % kHugePage) % kHugePage;
  out.data_ = static_cast<std::byte*>(at) + skip;
  out.size_ = *room;
  madvise(out.data_, out.size_, pages == Pages::kHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return out;
}

Reservation::Reservation(Reservation&& other) noexcept { *this = std::move(other); }

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  std::swap(mapped_, other.mapped_);
  std::swap(mapped_size_, other.mapped_size_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Reservation::~Reservation() {
  if (mapped_ != nullptr) munmap(mapped_, mapped_size_);
}

void Reservation::Drop(uint64_t offset, uint64_t size) const { madvise(data_ + offset, size, MADV_DONTNEED); }

}  // namespace ingot

#include "tests/simt/request_log.h"

#include <algorithm>
#include <array>
#include <set>

namespace ingot::simt {
namespace {

constexpr uintptr_t kSector = 32;

void CountGlobal(const std::vector<uintptr_t>& lanes, size_t size, Requests& to) {
  std::map<uintptr_t, uint32_t> sectors;  // and which of their bytes
  for (uintptr_t at : lanes) {
    for (uintptr_t byte = at; byte < at + size; ++byte) sectors[byte / kSector] |= 1u << (byte % kSector);
  }
  ++to.count;
  to.lanes += lanes.size();
  to.sectors += sectors.size();
  for (const auto& [sector, bytes] : sectors) {
    to.bytes += static_cast<uint64_t>(__builtin_popcount(bytes));
    to.whole += bytes == ~0u;
  }
}

// A request moves 128 bytes a pass: of 8 bytes a lane in two halves of the warp, of 16 in quarters. In each, lanes that
// want different words of a bank wait for one another.
uint64_t Conflicts(const std::vector<uintptr_t>& lanes, size_t size) {
  const size_t at_once = 32 / std::max<size_t>(1, size / 4);
  uint64_t passes = 0, least = 0;
  for (size_t first = 0; first < lanes.size(); first += at_once) {
    std::array<std::set<uintptr_t>, 32> banks;
    for (size_t i = first; i < std::min(first + at_once, lanes.size()); ++i) {
      for (uintptr_t word = lanes[i] / 4; word <= (lanes[i] + size - 1) / 4; ++word) banks[word % 32].insert(word);
    }
    size_t most = 0;
    for (const auto& words : banks) most = std::max(most, words.size());
    passes += most;
    ++least;
  }
  return passes - least;
}

}  // namespace

void RequestLog::Add(unsigned thread, const void* site, Access kind, uintptr_t address, size_t size,
                     const std::string& name) {
  const size_t visit = visits_[{thread, site}]++;
  auto& of_site = requests_[{thread / 32, site}];
  if (of_site.size() <= visit) of_site.resize(visit + 1, {kind, size, &name, {}});
  of_site[visit].lanes.push_back(address);
}

void RequestLog::Flush(Counts& counts) {
  for (const auto& [site, requests] : requests_) {
    for (const Request& r : requests) {
      if (r.kind == Access::kShared) {
        ++counts.shared_requests;
        counts.bank_conflicts += Conflicts(r.lanes, r.size);
      } else {
        CountGlobal(r.lanes, r.size, r.kind == Access::kGlobalLoad ? counts.global_loads : counts.global_stores);
        if (r.kind == Access::kGlobalLoad) CountGlobal(r.lanes, r.size, counts.loads_of[*r.name]);
      }
    }
  }
  requests_.clear();
  visits_.clear();
}

}  // namespace ingot::simt

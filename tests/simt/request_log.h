// Puts the accesses of a warp's lanes together to requests: those by the same instruction, each lane's first with the
// first of the others, and so on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/simt/executor.h"

namespace ingot::simt {

enum class Access : uint8_t { kGlobalLoad, kGlobalStore, kShared };

// For the threads of one block at a time.
class RequestLog {
 public:
  // `site` tells instructions apart.
  void Add(unsigned thread, const void* site, Access kind, uintptr_t address, size_t size, const std::string& name);
  // Counts what was added, and forgets it.
  void Flush(Counts& counts);

 private:
  struct Request {
    Access kind;
    size_t size;
    const std::string* name;
    std::vector<uintptr_t> lanes;
  };
  using Site = std::pair<unsigned, const void*>;               // warp, instruction
  std::map<Site, std::vector<Request>> requests_;              // by how often a lane was there before
  std::map<std::pair<unsigned, const void*>, size_t> visits_;  // of a thread to a site
};

}  // namespace ingot::simt

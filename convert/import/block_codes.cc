#include "convert/import/block_codes.h"

#include <algorithm>

#include "convert/io_bytes.h"

namespace ingot {

Status BlockCodes::operator()(uint64_t first, uint64_t count, bool, uint8_t* codes) const {
  thread_local IoBytes bytes;
  while (count > 0) {
    const uint64_t at = first % block, n = std::min(count, block - at);
    const int shift = shifts[first / block];
    bytes.resize(n * element_size);
    if (auto read = ReadBytes(*source, *packed, at * element_size, bytes); !read) return read;
    for (uint64_t i = 0; i < n; ++i) {
      const uint32_t element =
          element_size == 1 ? std::to_integer<uint32_t>(bytes[i]) : Load<uint32_t>(bytes.data() + 4 * i);
      codes[i] = static_cast<uint8_t>(element >> shift & mask);
    }
    first += n;
    codes += n;
    count -= n;
  }
  return {};
}

}  // namespace ingot

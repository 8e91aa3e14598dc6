// What the reading stage of a conversion hands to tensors that read ahead: memory that is used again and again, and
// somebody to tell of the bytes of source files. Used by one thread at a time; buffers are given back by any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "convert/io_bytes.h"
#include "format/bytes.h"
#include "format/status.h"

namespace ingot {

class ReadAhead {
 public:
  // Told of bytes of a source file that were read: whoever hashes the file need not read them again.
  using Seen = std::function<Status(uint32_t file, uint64_t offset, ByteSpan bytes)>;

  explicit ReadAhead(Seen seen) : seen_(std::move(seen)) {}

  Status Tell(uint32_t file, uint64_t offset, ByteSpan bytes) const { return seen_(file, offset, bytes); }

  // Memory of `size` bytes that hold anything. It is used again once the last copy of the pointer is gone: pages of new
  // memory cost more than what is read into them.
  std::shared_ptr<IoBytes> Buffer(uint64_t size) {
    std::unique_ptr<IoBytes> buffer = pool_->Take();
    buffer->resize(size);
    return {buffer.release(), [pool = pool_](IoBytes* done) { pool->Put(std::unique_ptr<IoBytes>(done)); }};
  }

 private:
  class Pool {
   public:
    std::unique_ptr<IoBytes> Take() {
      const std::lock_guard lock(mutex_);
      if (free_.empty()) return std::make_unique<IoBytes>();
      std::unique_ptr<IoBytes> buffer = std::move(free_.back());
      free_.pop_back();
      return buffer;
    }
    void Put(std::unique_ptr<IoBytes> buffer) {
      const std::lock_guard lock(mutex_);
      free_.push_back(std::move(buffer));
    }

   private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<IoBytes>> free_;
  };

  Seen seen_;
  std::shared_ptr<Pool> pool_ = std::make_shared<Pool>();
};

}  // namespace ingot

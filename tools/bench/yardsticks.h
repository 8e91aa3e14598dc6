// What the machine can do: memory and arithmetic that the other figures are a share of.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "runtime/threads.h"
#include "tools/bench/race.h"

namespace ingot::bench {

// Memory in huge pages where the system has them, every page touched. Movable; one owner. std::bad_alloc if there is
// none.
class Memory {
 public:
  explicit Memory(size_t bytes);
  Memory(Memory&& other) noexcept : at_(other.at_), size_(other.size_) { other.at_ = nullptr; }
  Memory& operator=(Memory&&) = delete;
  ~Memory();

  std::byte* data() const { return at_; }
  size_t size() const { return size_; }

 private:
  std::byte* at_;
  size_t size_;
};

// A number of threads, TBB's, as products use them. Copies share them. Thread-safe.
class Team {
 public:
  explicit Team(int threads) : pool_(std::make_shared<ArenaPool>(threads)) {}
  int threads() const { return pool_->threads(); }
  // body(), whose parallel loops use these threads.
  void Execute(const std::function<void()>& body) const { pool_->Run(body); }
  // piece(t) for t in [0, threads), all at once.
  void ForEach(const std::function<void(size_t)>& piece) const;

 private:
  std::shared_ptr<ArenaPool> pool_;
};

// Each a yardstick on `team`; the memory must outlive it. Bytes count once: what is written, read or copied.
Work Memset(std::byte* at, size_t bytes, const Team& team);  // to values other than zero
Work Memcpy(std::byte* to, const std::byte* from, size_t bytes, const Team& team);
// Reads from eight places at once, each thread in its part: as fast as memory is read.
Work EightStreamRead(const std::byte* at, size_t bytes, const Team& team);
// Independent f32 multiply-adds in the widest vectors of the processor; 2 operations each.
Work FmaPeak(const Team& team);

std::vector<Task> YardstickTasks(const Bench& bench);

}  // namespace ingot::bench

// What runs the streams of an emulated device: a thread that takes one operation after the other, of any stream that
// has some, after delays.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "format/hash.h"
#include "runtime/device/device.h"

namespace ingot::test {

struct EmulatedOptions {
  uint32_t number = 0;
  unsigned seed = 1;
  unsigned most_delay_us = 0;   // before a copy
  double bytes_per_second = 0;  // 0: no limit
  bool moves_bytes = true;      // false: copies only take their time
  bool fills_memory = true;     // with something that is not zero
  bool checks_sources = true;   // hashes what is copied when it is asked for and when it is done
  uint64_t memory = uint64_t{1} << 40;
  uint64_t fail_at_call = 0;  // of those that can fail, counted from 1
  uint64_t fail_at_copy = 0;  // when it is done, not when it is asked for
  uint64_t fail_at_work = 0;  // of kernels and what else streams do: likewise
  bool stays_failed = false;  // so does every call after the one that failed
};

// The device's half of it is EmulatedDevice: they share the lock.
class EmulatedEngine {
 protected:
  struct Range {
    const std::byte* at;
    uint64_t size;
  };
  // Says what went wrong, or "".
  using WorkFn = std::function<std::string()>;

  using Clock = std::chrono::steady_clock;
  struct Event {
    int pending = 0;  // times it was recorded and not reached
    bool failed = false;
  };
  struct Operation {
    DeviceCopy copy;
    uint64_t hash = 0;  // of the source when it was asked for
    Event* event = nullptr;
    WorkFn work;
    std::vector<Range> ranges;  // that it uses
    Clock::time_point asked = Clock::now();
  };
  struct Stream {
    std::deque<Operation> queue;
    bool busy = false, failed = false;
    std::string error;
  };

  explicit EmulatedEngine(const EmulatedOptions& options) : options_(options), random_(options.seed) {
    default_stream_ = *streams_.insert(new Stream()).first;
    engine_ = std::thread([this] { RunStreams(); });
  }
  ~EmulatedEngine() { delete default_stream_; }
  EmulatedEngine(const EmulatedEngine&) = delete;

  // Ends the thread, once all streams are through. By the most derived class, which work may use; again: nothing.
  void Stop() {
    if (!engine_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      quit_ = true;
      changed_.notify_all();
    }
    engine_.join();
  }

  static uint64_t HashOf(const DeviceCopy& copy) {
    uint64_t hash = 0;
    for (uint64_t r = 0; r < copy.rows; ++r) hash = hash * 31 + Xxh3_64({copy.from + r * copy.from_pitch, copy.size});
    return hash;
  }
  Stream* StreamOf(DeviceStream stream) { return stream == nullptr ? default_stream_ : static_cast<Stream*>(stream); }
  void Problem(const std::string& text) {
    if (problems_.size() < 10) problems_.push_back(text);
  }
  void Enqueue(DeviceStream stream, Operation operation) {
    if (streams_.count(StreamOf(stream)) == 0) return Problem("work on a stream that is not the device's");
    StreamOf(stream)->queue.push_back(std::move(operation));
    changed_.notify_all();
  }

  // Whether an operation that is not done uses memory of a piece.
  bool IsUsed(const std::byte* at, uint64_t size) const {
    for (const Stream* stream : streams_) {
      if (stream->busy && Uses(running_, at, size)) return true;
      for (const Operation& operation : stream->queue) {
        if (Uses(operation, at, size)) return true;
      }
    }
    return false;
  }

  const EmulatedOptions options_;
  std::mutex mutex_;  // of everything below, and of the device
  std::condition_variable changed_;
  Stream* default_stream_ = nullptr;
  std::set<Stream*> streams_;
  std::set<Event*> events_;
  std::vector<std::string> problems_;
  uint64_t copies_ = 0, works_ = 0, copied_bytes_ = 0;

 private:
  static bool Uses(const Operation& operation, const std::byte* at, uint64_t size) {
    const auto in = [&](const std::byte* p) { return p >= at && p < at + size; };
    for (const Range& range : operation.ranges) {
      if (in(range.at)) return true;
    }
    return operation.event == nullptr && (in(operation.copy.to) || in(operation.copy.from));
  }
  // One operation after the other, of any stream that has some.
  void RunStreams() {
    std::unique_lock lock(mutex_);
    for (;;) {
      std::vector<Stream*> ready;
      for (Stream* stream : streams_) {
        if (!stream->queue.empty()) ready.push_back(stream);
      }
      if (ready.empty()) {
        if (quit_) return;
        changed_.wait(lock);
        continue;
      }
      Stream& stream = *ready[random_() % ready.size()];
      running_ = stream.queue.front();
      stream.queue.pop_front();
      if (running_.event != nullptr) {
        --running_.event->pending;
        running_.event->failed = stream.failed;
      } else {
        stream.busy = true;
        if (running_.work) {
          RunWork(lock, stream);
        } else {
          RunCopy(lock, stream);
        }
        stream.busy = false;
      }
      changed_.notify_all();
    }
  }

  // As on a GPU, nothing is done on a stream after a failure.
  void RunWork(std::unique_lock<std::mutex>& lock, Stream& stream) {
    const WorkFn work = running_.work;
    const unsigned delay = options_.most_delay_us == 0 ? 0 : static_cast<unsigned>(random_() % options_.most_delay_us);
    if (++works_ == options_.fail_at_work) stream.failed = true, stream.error = "work failed";
    if (stream.failed) return;
    lock.unlock();
    if (delay > 0) std::this_thread::sleep_for(std::chrono::microseconds(delay));
    const std::string error = work();
    lock.lock();
    if (!error.empty()) stream.failed = true, stream.error = error;
  }

  void RunCopy(std::unique_lock<std::mutex>& lock, Stream& stream) {
    const DeviceCopy copy = running_.copy;
    const Clock::time_point asked = running_.asked;
    const unsigned delay = options_.most_delay_us == 0 ? 0 : static_cast<unsigned>(random_() % options_.most_delay_us);
    ++copies_;
    copied_bytes_ += copy.size * copy.rows;
    if (copies_ == options_.fail_at_copy) stream.failed = true;
    const bool fails = stream.failed;
    lock.unlock();
    if (delay > 0) std::this_thread::sleep_for(std::chrono::microseconds(delay));
    if (options_.bytes_per_second > 0) {
      const std::chrono::duration<double> takes(static_cast<double>(copy.size * copy.rows) / options_.bytes_per_second);
      // A copy begins when it is asked for or the one before is done, however late this thread wakes up.
      free_at_ = std::max(free_at_, asked) + std::chrono::duration_cast<Clock::duration>(takes);
      std::this_thread::sleep_until(free_at_);
    }
    const bool same = !options_.checks_sources || HashOf(copy) == running_.hash;
    for (uint64_t r = 0; r < copy.rows && !fails && options_.moves_bytes; ++r)
      std::memcpy(copy.to + r * copy.to_pitch, copy.from + r * copy.from_pitch, copy.size);
    lock.lock();
    if (!same) Problem("the source of a copy changed before it was done");
  }

  std::mt19937 random_;
  Operation running_;
  bool quit_ = false;
  std::chrono::steady_clock::time_point free_at_;  // the thread's
  std::thread engine_;
};

}  // namespace ingot::test

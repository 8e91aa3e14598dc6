// A device without hardware: its memory is the host's, its streams are run by a thread of its own, in no order between
// them and after delays. It fails when told to, and notices what a real one would not: a copy whose source changed
// before it was done, memory that is used after it was freed or outside of what was given, and leaks. It runs no
// kernels: tests/simt/kernel_device.h does.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "runtime/device/device.h"
#include "tests/support/emulated_engine.h"
#include "tests/support/emulated_memory.h"

namespace ingot::test {

class EmulatedDevice : public Device, private EmulatedEngine {
 public:
  explicit EmulatedDevice(const EmulatedOptions& options = {})
      : EmulatedEngine(options), info_{options.number, "emulated", 80, 2} {}
  ~EmulatedDevice() override { Stop(); }

  // What went wrong so far, and what was not given back; "" is what tests want to see once all is released.
  std::string Problems() {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const std::string& problem : problems_) text += problem + "\n";
    const auto leak = [&](size_t count, const char* what) {
      if (count > 0) text += fmt::format("{} {} leaked\n", count, what);
    };
    leak(device_.pieces().size(), "pieces of device memory");
    leak(pinned_.pieces().size(), "pieces of pinned memory");
    leak(streams_.size() - 1, "streams");
    leak(events_.size(), "events");
    return text;
  }
  uint64_t calls() { return Locked(calls_); }
  uint64_t copies() { return Locked(copies_); }
  uint64_t copied_bytes() { return Locked(copied_bytes_); }
  uint64_t memory_in_use() { return Locked(in_use_); }
  uint64_t most_memory_in_use() { return Locked(most_in_use_); }
  uint64_t pinned_bytes() { return Locked(pinned_bytes_); }

  const DeviceInfo& info() const override { return info_; }
  std::string Name() const override { return fmt::format("emulated:{}", options_.number); }

  Result<Memory> MemoryInfo() override {
    const std::lock_guard lock(mutex_);
    if (auto call = Call("memory"); !call) return Propagate(call);
    return Memory{options_.memory - in_use_, options_.memory};
  }
  Result<std::byte*> Allocate(uint64_t size) override {
    const std::lock_guard lock(mutex_);
    if (auto call = Call("allocate"); !call) return Propagate(call);
    if (size > options_.memory - in_use_) return Fail(ErrorCode::kMemory, "{}: {} bytes are not free", Name(), size);
    in_use_ += size;
    most_in_use_ = std::max(most_in_use_, in_use_);
    return device_.Get(size, options_.fills_memory);
  }
  void Free(std::byte* at, uint64_t size) override {
    const std::lock_guard lock(mutex_);
    in_use_ -= size;
    Give(device_, at, size);
  }
  Result<std::byte*> AllocatePinned(uint64_t size) override {
    const std::lock_guard lock(mutex_);
    if (auto call = Call("pin"); !call) return Propagate(call);
    pinned_bytes_ += size;
    return pinned_.Get(size, options_.fills_memory);
  }
  void FreePinned(std::byte* at, uint64_t size) override {
    const std::lock_guard lock(mutex_);
    Give(pinned_, at, size);
  }
  Result<DeviceStream> MakeStream() override {
    const std::lock_guard lock(mutex_);
    if (auto call = Call("make a stream"); !call) return Propagate(call);
    return *streams_.insert(new Stream()).first;
  }
  void FreeStream(DeviceStream stream) override {
    const std::lock_guard lock(mutex_);
    const auto at = streams_.find(static_cast<Stream*>(stream));
    if (at == streams_.end() || *at == default_stream_) return Problem("a stream is freed twice");
    if ((*at)->busy || !(*at)->queue.empty()) Problem("a stream is freed while it runs");
    delete *at;
    streams_.erase(at);
  }
  Result<DeviceEvent> MakeEvent() override {
    const std::lock_guard lock(mutex_);
    if (auto call = Call("make an event"); !call) return Propagate(call);
    return *events_.insert(new Event()).first;
  }
  void FreeEvent(DeviceEvent event) override {
    const std::lock_guard lock(mutex_);
    const auto at = events_.find(static_cast<Event*>(event));
    if (at == events_.end()) return Problem("an event is freed twice");
    if ((*at)->pending > 0) Problem("an event is freed that is not done");
    delete *at;
    events_.erase(at);
  }

  Status Copy(const DeviceCopy& copy, DeviceStream stream) override {
    const uint64_t hash = options_.checks_sources ? HashOf(copy) : 0;
    const std::lock_guard lock(mutex_);
    if (auto call = Call("copy"); !call) return call;
    if (copy.size == 0 || copy.rows == 0) Problem("a copy of nothing");
    if (!device_.Has(copy.to, Extent(copy.size, copy.rows, copy.to_pitch)))
      Problem("a copy to memory that is not the device's");
    if (!pinned_.Has(copy.from, Extent(copy.size, copy.rows, copy.from_pitch)))
      Problem("a copy from memory that is not pinned");
    Operation operation;
    operation.copy = copy, operation.hash = hash;
    Enqueue(stream, std::move(operation));
    return {};
  }
  Status Record(DeviceEvent event, DeviceStream stream) override {
    const std::lock_guard lock(mutex_);
    if (auto call = Call("record"); !call) return call;
    ++static_cast<Event*>(event)->pending;
    Operation operation;
    operation.event = static_cast<Event*>(event);
    Enqueue(stream, std::move(operation));
    return {};
  }
  Result<bool> IsDone(DeviceEvent event) override {
    const std::lock_guard lock(mutex_);
    if (auto call = Call("query"); !call) return Propagate(call);
    const Event& e = *static_cast<Event*>(event);
    if (e.pending > 0) return false;
    if (e.failed) return Fail(ErrorCode::kDevice, "{}: a copy failed", Name());
    return true;
  }
  Status Wait(DeviceEvent event) override {
    std::unique_lock lock(mutex_);
    if (auto call = Call("wait"); !call) return call;
    const Event& e = *static_cast<Event*>(event);
    changed_.wait(lock, [&] { return e.pending == 0; });
    if (e.failed) return Fail(ErrorCode::kDevice, "{}: a copy failed", Name());
    return {};
  }
  Status WaitForStream(DeviceStream stream) override {
    std::unique_lock lock(mutex_);
    const Stream& s = *StreamOf(stream);
    changed_.wait(lock, [&] { return s.queue.empty() && !s.busy; });
    if (s.failed) return Fail(ErrorCode::kDevice, "{}: {}", Name(), s.error.empty() ? "a copy failed" : s.error);
    return {};
  }

  Status Decode(const cuda::MatrixView&, const MatrixSlice&, DType, std::byte*, uint64_t, DeviceStream) override {
    return RunsNoKernels();
  }
  Status DecodeFlat(const cuda::MatrixView&, uint64_t, uint64_t, DType, std::byte*, DeviceStream) override {
    return RunsNoKernels();
  }
  Status Multiply(const cuda::MatrixView&, const cuda::ProductRequest&, DeviceStream) override {
    return RunsNoKernels();
  }
  uint64_t ScratchBytes(const cuda::MatrixView&, const cuda::ProductRequest&) const override { return 0; }
  Status Clear(std::byte* at, uint64_t size, uint64_t rows, uint64_t pitch, DeviceStream stream) override {
    return Work("clear", stream, {{at, Extent(size, rows, pitch)}}, [=] {
      for (uint64_t r = 0; r < rows; ++r) std::memset(at + r * pitch, 0, size);
      return std::string();
    });
  }

 protected:
  using EmulatedEngine::Range;
  using EmulatedEngine::Stop;
  using EmulatedEngine::WorkFn;

  // Enqueues work that uses `ranges`, which must be in the device's memory when it is asked for and when it is done.
  // Called on the engine's thread, without a lock.
  Status Work(const char* what, DeviceStream stream, std::vector<Range> ranges, WorkFn work) {
    const std::lock_guard lock(mutex_);
    if (auto call = Call(what); !call) return call;
    for (const Range& range : ranges) {
      if (range.size > 0 && !device_.Has(range.at, range.size))
        Problem(fmt::format("{}: memory that is not the device's", what));
    }
    Operation operation;
    operation.ranges = std::move(ranges);
    operation.work = std::move(work);
    Enqueue(stream, std::move(operation));
    return {};
  }
  EmulatedMemory::Pieces DeviceMemoryNow() {
    const std::lock_guard lock(mutex_);
    return device_.pieces();
  }

 private:
  uint64_t Locked(const uint64_t& value) {
    const std::lock_guard lock(mutex_);
    return value;
  }
  static uint64_t Extent(uint64_t size, uint64_t rows, uint64_t pitch) { return (rows - 1) * pitch + size; }
  Status RunsNoKernels() const { return Fail(ErrorCode::kUnsupported, "{}: runs no kernels", Name()); }
  Status Call(const char* what) {
    ++calls_;
    if (options_.fail_at_call == 0 || calls_ < options_.fail_at_call) return {};
    if (calls_ > options_.fail_at_call && !options_.stays_failed) return {};
    return Fail(ErrorCode::kDevice, "{}: {}: refused", Name(), what);
  }
  void Give(EmulatedMemory& memory, std::byte* at, uint64_t size) {
    if (const char* problem = memory.Give(at, size, IsUsed(at, size)); problem != nullptr) Problem(problem);
  }

  const DeviceInfo info_;
  EmulatedMemory device_, pinned_;
  uint64_t calls_ = 0, in_use_ = 0, most_in_use_ = 0, pinned_bytes_ = 0;
};

}  // namespace ingot::test

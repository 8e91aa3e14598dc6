// Pinned memory that bytes pass through on their way to a device: slots that are filled, copied from, and filled again
// when the device is done with them. Who fills faster than the device copies, waits.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/device/device.h"

namespace ingot {

// Thread-safe. Owns the memory, the streams and the events; the device must outlive it.
class StagingRing {
 public:
  // At least one slot and one stream. kMemory, kDevice.
  static Result<std::unique_ptr<StagingRing>> Make(Device& device, uint64_t slot_bytes, uint64_t slots,
                                                   uint64_t streams);
  ~StagingRing();  // waits for all copies
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  // What became of the copies of a slot. Called from the thread that finds out, without a lock.
  using DoneFn = std::function<void(const Status& copied)>;

  // Owns a slot that nothing is copied from: to be filled, then sent; given back unused otherwise. Movable.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept { *this = std::move(other); }
    Slot& operator=(Slot&& other) noexcept;
    ~Slot();
    std::byte* bytes() const;

   private:
    friend class StagingRing;
    Slot(StagingRing& ring, size_t number) : ring_(&ring), number_(number) {}
    StagingRing* ring_ = nullptr;
    size_t number_ = 0;
  };

  // A slot; waits until there is one.
  Slot Take();
  // Hands the copies from a slot to its stream; `done` is called once they are through, or before it returns if the
  // device refuses one of them.
  void Send(Slot slot, const std::vector<DeviceCopy>& copies, DoneFn done);
  // Waits until nothing is being copied.
  void Drain();

  uint64_t bytes() const { return size_; }

 private:
  struct Place {
    DeviceEvent event = nullptr;
    DoneFn done;
    uint64_t sequence = 0;
  };
  struct Finished {
    DoneFn done;
    Status copied;
  };
  explicit StagingRing(Device& device) : device_(device) {}
  std::byte* BytesOf(size_t number) const { return memory_ + number * slot_bytes_; }
  DeviceStream StreamOf(size_t number) const { return streams_[number % streams_.size()]; }
  void CollectFinished(std::vector<Finished>& finished);
  bool WaitForOldest(std::unique_lock<std::mutex>& lock, std::vector<Finished>& finished);
  void Return(size_t number);

  Device& device_;
  uint64_t slot_bytes_ = 0, size_ = 0;
  std::byte* memory_ = nullptr;
  std::vector<DeviceStream> streams_;
  std::vector<Place> places_;

  std::mutex mutex_;  // of what follows
  std::condition_variable returned_;
  std::vector<size_t> free_;
  std::vector<std::vector<size_t>> in_flight_;  // for each stream, in its order; room for all slots
  uint64_t next_sequence_ = 0;
  size_t waited_for_ = 0;  // slots that some thread is waiting for
};

}  // namespace ingot

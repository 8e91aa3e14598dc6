#include "runtime/device/staging_ring.h"

#include <utility>

namespace ingot {

Result<std::unique_ptr<StagingRing>> StagingRing::Make(Device& device, uint64_t slot_bytes, uint64_t slots,
                                                       uint64_t streams) {
  std::unique_ptr<StagingRing> ring(new StagingRing(device));
  ring->places_.resize(slots);
  ring->in_flight_.resize(streams);
  for (auto& numbers : ring->in_flight_) numbers.reserve(slots);
  ring->free_.reserve(slots);
  ring->streams_.reserve(streams);
  auto memory = device.AllocatePinned(slot_bytes * slots);
  if (!memory) return Propagate(memory);
  ring->memory_ = *memory;
  ring->slot_bytes_ = slot_bytes;
  ring->size_ = slot_bytes * slots;
  for (uint64_t i = 0; i < streams; ++i) {
    auto stream = device.MakeStream();
    if (!stream) return Propagate(stream);
    ring->streams_.push_back(*stream);
  }
  for (Place& place : ring->places_) {
    auto event = device.MakeEvent();
    if (!event) return Propagate(event);
    place.event = *event;
  }
  for (size_t i = slots; i > 0; --i) ring->free_.push_back(i - 1);
  return ring;
}

StagingRing::~StagingRing() {
  Drain();
  for (const Place& place : places_) {
    if (place.event != nullptr) device_.FreeEvent(place.event);
  }
  for (DeviceStream stream : streams_) device_.FreeStream(stream);
  if (memory_ != nullptr) device_.FreePinned(memory_, size_);
}

StagingRing::Slot& StagingRing::Slot::operator=(Slot&& other) noexcept {
  std::swap(ring_, other.ring_);
  std::swap(number_, other.number_);
  return *this;
}

StagingRing::Slot::~Slot() {
  if (ring_ != nullptr) ring_->Return(number_);
}

std::byte* StagingRing::Slot::bytes() const { return ring_->BytesOf(number_); }

void StagingRing::Return(size_t number) {
  const std::lock_guard lock(mutex_);
  free_.push_back(number);  // there is room for all
  returned_.notify_all();
}

// Of each stream, what is through: an event that failed is through, too.
void StagingRing::CollectFinished(std::vector<Finished>& finished) {
  for (std::vector<size_t>& stream : in_flight_) {
    while (!stream.empty()) {
      const size_t number = stream.front();
      finished.reserve(finished.size() + 1);  // nothing throws from here on
      const Result<bool> done = device_.IsDone(places_[number].event);
      if (done && !*done) break;
      if (!done) (void)device_.WaitForStream(StreamOf(number));
      finished.push_back({std::move(places_[number].done), done ? Status() : Status(Propagate(done))});
      stream.erase(stream.begin());
      free_.push_back(number);
      returned_.notify_all();
    }
  }
}

// Waits, without the lock, for the slot that was sent first. False if none is in flight.
bool StagingRing::WaitForOldest(std::unique_lock<std::mutex>& lock, std::vector<Finished>& finished) {
  std::vector<size_t>* oldest = nullptr;
  for (std::vector<size_t>& stream : in_flight_) {
    if (stream.empty()) continue;
    if (oldest == nullptr || places_[stream.front()].sequence < places_[oldest->front()].sequence) oldest = &stream;
  }
  if (oldest == nullptr) return false;
  finished.reserve(finished.size() + 1);
  const size_t number = oldest->front();
  oldest->erase(oldest->begin());
  ++waited_for_;
  DoneFn done = std::move(places_[number].done);
  lock.unlock();
  Status copied = device_.Wait(places_[number].event);
  if (!copied) (void)device_.WaitForStream(StreamOf(number));
  lock.lock();
  --waited_for_;
  finished.push_back({std::move(done), std::move(copied)});
  free_.push_back(number);
  returned_.notify_all();
  return true;
}

StagingRing::Slot StagingRing::Take() {
  std::vector<Finished> finished;
  std::unique_lock lock(mutex_);
  CollectFinished(finished);
  while (free_.empty()) {
    if (!WaitForOldest(lock, finished)) returned_.wait(lock);
  }
  const size_t number = free_.back();
  free_.pop_back();
  lock.unlock();
  Slot slot(*this, number);
  for (const Finished& f : finished) f.done(f.copied);
  return slot;
}

void StagingRing::Send(Slot slot, const std::vector<DeviceCopy>& copies, DoneFn done) {
  const size_t number = slot.number_;
  const DeviceStream stream = StreamOf(number);
  Status sent;
  for (const DeviceCopy& copy : copies) {
    if (sent) sent = device_.Copy(copy, stream);
  }
  if (sent) sent = device_.Record(places_[number].event, stream);
  if (sent) {
    const std::lock_guard lock(mutex_);
    places_[number].done = std::move(done);
    places_[number].sequence = next_sequence_++;
    in_flight_[number % streams_.size()].push_back(number);
    slot.ring_ = nullptr;
    returned_.notify_all();
    return;
  }
  (void)device_.WaitForStream(stream);  // the copies before the one that was refused are under way
  done(sent);
}

void StagingRing::Drain() {
  for (;;) {
    std::vector<Finished> finished;
    {
      std::unique_lock lock(mutex_);
      if (!WaitForOldest(lock, finished)) {
        returned_.wait(lock, [&] { return waited_for_ == 0; });
        return;
      }
    }
    for (const Finished& f : finished) f.done(f.copied);
  }
}

}  // namespace ingot

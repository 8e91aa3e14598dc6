// Tensors from files onto a device: each byte that is needed is read, hashed and copied once, into pinned memory, on
// several threads, while the device copies from there on several streams.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "runtime/device/device_tensor.h"
#include "runtime/device/staging_ring.h"
#include "runtime/loaded_model.h"
#include "runtime/progress.h"
#include "runtime/threads.h"

namespace ingot {

inline constexpr int kMostUploadThreads = kMostThreads;
inline constexpr int kMostUploadStreams = 64;

struct UploaderOptions {
  int threads = 2;                           // that read, hash and copy; the calling one among them
  int streams = 2;                           // of the device
  uint64_t ring_bytes = uint64_t{32} << 20;  // of pinned memory; at least a chunk of 1 MiB for each thread is taken
  DeviceAllocator allocator;                 // of the tensors' memory
};

// A tensor of a model, or a slice of it: any rectangle. Whole slice units (TensorView::slice_rows) need nothing that
// another such slice needs; chunks at their edges are read and verified whole.
struct UploadRequest {
  uint32_t tensor = 0;
  std::optional<MatrixSlice> slice;  // nothing: all of it
};

// What a call did.
struct UploadCounts {
  uint64_t copied = 0;    // bytes that were brought into pinned memory from the file
  uint64_t hashed = 0;    // of them, bytes that were hashed on the way
  uint64_t checked = 0;   // bytes brought there from checked private copies: planes that hold indices
  uint64_t uploaded = 0;  // bytes that the device copied
  uint64_t copies = 0;    // in so many copies
};

// Keeps its ring, streams and device from one call to the next. Thread-safe: one call at a time runs, others wait. For
// several devices: an uploader each, on threads of their own.
class Uploader {
 public:
  // kUsage, kMemory, kDevice.
  static Result<std::unique_ptr<Uploader>> Make(std::shared_ptr<Device> device, const UploaderOptions& options);

  using Outcome = Result<DeviceTensorPtr>;
  struct Hooks {
    // Bytes of planes; of slices that were not begun yet the total is an estimate.
    ProgressFn progress;
    // A request is done, its tensor complete (or refused): not in any order, from any thread, one call at a time.
    std::function<void(size_t request, const Outcome& outcome)> on_tensor;
  };

  // One outcome for each request, in their order: a tensor is handed out once every chunk of it was verified and has
  // arrived, and not before. What is wrong with the bytes of one tensor is its own error (kBadInput, kIo, naming file,
  // tensor and rule), not the others'. What concerns all of them ends the call and frees everything that was not
  // handed out by on_tensor: kMemory and kDevice, naming file, tensor and device; kInterrupted; kUsage for a request
  // that is out of range. Tied tensors are uploaded once.
  Result<std::vector<Outcome>> Upload(LoadedModel& model, std::span<const UploadRequest> requests, const Hooks& hooks);

  // The same, all or nothing: the first request that fails is the error.
  Result<std::vector<DeviceTensorPtr>> UploadAll(LoadedModel& model, std::span<const UploadRequest> requests,
                                                 const ProgressFn& progress = {});

  UploadCounts counts() const;  // of the last call
  const std::shared_ptr<Device>& device() const { return device_; }

 private:
  Uploader(std::shared_ptr<Device> device, const UploaderOptions& options)
      : device_(std::move(device)), options_(options) {}

  const std::shared_ptr<Device> device_;
  const UploaderOptions options_;
  std::unique_ptr<StagingRing> ring_;
  std::mutex running_;
  mutable std::mutex mutex_;  // of the counts
  UploadCounts counts_;
};

}  // namespace ingot

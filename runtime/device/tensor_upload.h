// One tensor, or a slice of one, on its way to a device: what has to be read, in pieces that fill a slot of the ring.
// Private to the upload.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/device/device_tensor.h"
#include "runtime/device/upload.h"

namespace ingot {

// Fill may be called from several threads at once.
class TensorUpload {
 public:
  // Reads and checks the planes that hold indices, and allocates the memory on the device. `store` must outlive it.
  // kBadInput and kIo: of the tensor. kMemory, kDevice and kUsage: not only of it. All name it.
  static Result<std::unique_ptr<TensorUpload>> Open(PlaneStore& store, uint32_t tensor,
                                                    const std::optional<MatrixSlice>& slice,
                                                    const std::shared_ptr<Device>& device,
                                                    const DeviceAllocator& allocator);

  static constexpr uint64_t kSlotBytes = kChunkSize;
  size_t job_count() const { return jobs_.size(); }
  uint64_t job_bytes(size_t job) const { return jobs_[job].bytes; }  // that go to the device
  uint64_t bytes() const { return layout_.bytes(); }                 // of all jobs

  // Brings the bytes of a job into a slot, verified, and appends the copies that take them to the device.
  Status Fill(size_t job, FrameDecoder& decoder, std::byte* slot, std::vector<DeviceCopy>& copies,
              UploadCounts& counts) const;

  // "FILE: tensor 'NAME'"
  std::string Name() const { return view_->Name(); }
  // To be handed out when all jobs are done.
  const DeviceTensorPtr& tensor() const { return tensor_; }

 private:
  // Bytes [offset, offset + size) of a window's plane: a chunk, or a part of a checked copy.
  struct Piece {
    const PlaneWindow* window;
    uint64_t offset, size;
  };
  struct Job {
    std::vector<Piece> pieces;
    uint64_t bytes = 0;
  };
  explicit TensorUpload(PlaneStore& store) : store_(store) {}
  Status Prepare(uint32_t tensor, const std::optional<MatrixSlice>& slice, const std::shared_ptr<Device>& device,
                 const DeviceAllocator& allocator);
  void PlanJobs();

  PlaneStore& store_;
  // Of its own, so that what is read of the planes that hold indices goes with it.
  std::unique_ptr<ChunkCache> cache_;
  std::unique_ptr<PlaneStore> indices_;
  std::unique_ptr<TensorView> view_;
  DeviceLayout layout_;
  std::byte* memory_ = nullptr;
  std::vector<Job> jobs_;
  DeviceTensorPtr tensor_;
};

}  // namespace ingot

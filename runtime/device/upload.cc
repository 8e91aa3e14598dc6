#include "runtime/device/upload.h"

#include <algorithm>

#include "format/checked.h"
#include "runtime/device/upload_run.h"

namespace ingot {
namespace {

Status CheckRequests(const Model& model, std::span<const UploadRequest> requests) {
  for (const UploadRequest& request : requests) {
    if (request.tensor >= model.tensor_count())
      return Fail(ErrorCode::kUsage, "{}: there is no tensor {}, there are {}", model.main().path(), request.tensor,
                  model.tensor_count());
    if (!request.slice) continue;
    const TensorRecord record = model.tensor(request.tensor);
    const PartLayout layout(model.container_of(request.tensor).index(), record);
    const MatrixSlice& s = *request.slice;
    if (InRange(s.row, s.rows, layout.rows()) && InRange(s.column, s.columns, layout.columns())) continue;
    return Fail(ErrorCode::kUsage, "{}: tensor '{}': rows {} + {}, columns {} + {} of {} by {}", model.main().path(),
                Escape(record.name), s.row, s.rows, s.column, s.columns, layout.rows(), layout.columns());
  }
  return {};
}

// What the whole tensors among them need at least, tied ones not counted.
uint64_t LeastBytes(const Model& model, std::span<const UploadRequest> requests) {
  uint64_t sum = 0;
  for (const UploadRequest& request : requests) {
    if (!request.slice && !model.is_alias(request.tensor))
      sum += PlaneBytesOf(model.container_of(request.tensor).index(), model.tensor(request.tensor));
  }
  return sum;
}

}  // namespace

Result<std::unique_ptr<Uploader>> Uploader::Make(std::shared_ptr<Device> device, const UploaderOptions& options) {
  if (options.threads < 1 || options.threads > kMostUploadThreads || options.streams < 1 ||
      options.streams > kMostUploadStreams)
    return Fail(ErrorCode::kUsage, "{} threads and {} streams, from 1 to {} and {} are possible", options.threads,
                options.streams, kMostUploadThreads, kMostUploadStreams);
  if ((options.allocator.allocate == nullptr) != (options.allocator.release == nullptr))
    return Fail(ErrorCode::kUsage, "an allocator without one of its functions");
  const uint64_t slots =
      std::max<uint64_t>(options.ring_bytes / TensorUpload::kSlotBytes, static_cast<uint64_t>(options.threads));
  std::unique_ptr<Uploader> uploader(new Uploader(std::move(device), options));
  auto ring = StagingRing::Make(*uploader->device_, TensorUpload::kSlotBytes, slots,
                                std::min<uint64_t>(static_cast<uint64_t>(options.streams), slots));
  if (!ring) return Propagate(ring);
  uploader->ring_ = std::move(*ring);
  return uploader;
}

Result<std::vector<Uploader::Outcome>> Uploader::Upload(LoadedModel& model, std::span<const UploadRequest> requests,
                                                        const Hooks& hooks) {
  if (auto checked = CheckRequests(model.model(), requests); !checked) return Propagate(checked);
  const std::lock_guard running(running_);
  if (options_.allocator.allocate == nullptr) {  // rather than after minutes
    const auto memory = device_->MemoryInfo();
    if (!memory) return Propagate(memory);
    const uint64_t least = LeastBytes(model.model(), requests);
    if (least > memory->free)
      return Fail(ErrorCode::kMemory, "{}: {} tensors take {} bytes on {}, which has {} free",
                  model.model().main().path(), requests.size(), least, device_->Name(), memory->free);
  }
  UploadRun run(device_, options_.allocator, *ring_, model, requests, hooks);
  auto outcomes = run.Run(options_.threads);
  const std::lock_guard lock(mutex_);
  counts_ = run.counts();
  return outcomes;
}

Result<std::vector<DeviceTensorPtr>> Uploader::UploadAll(LoadedModel& model, std::span<const UploadRequest> requests,
                                                         const ProgressFn& progress) {
  auto outcomes = Upload(model, requests, {progress, {}});
  if (!outcomes) return Propagate(outcomes);
  std::vector<DeviceTensorPtr> tensors;
  for (Outcome& outcome : *outcomes) {
    if (!outcome) return Propagate(outcome);
    tensors.push_back(std::move(*outcome));
  }
  return tensors;
}

UploadCounts Uploader::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace ingot

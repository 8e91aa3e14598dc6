// One call of Uploader::Upload: threads that take turns opening tensors and filling slots. Private to the upload.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "runtime/device/tensor_upload.h"

namespace ingot {

class UploadRun {
 public:
  // All must outlive it. The requests are in range.
  UploadRun(std::shared_ptr<Device> device, const DeviceAllocator& allocator, StagingRing& ring, LoadedModel& model,
            std::span<const UploadRequest> requests, const Uploader::Hooks& hooks);

  // Once. Returns when nothing of it is going on any more.
  Result<std::vector<Uploader::Outcome>> Run(int threads);
  const UploadCounts& counts() const { return counts_; }

 private:
  struct Work {
    std::vector<size_t> requests;  // of tied tensors several
    uint64_t estimate = 0;
    std::unique_ptr<TensorUpload> upload;  // while it is under way
    size_t pending = 0;                    // jobs that are not done
    std::optional<Error> error;            // of the first job that failed
    size_t error_job = 0;
  };
  struct Job {
    Work* work;
    size_t number;
  };

  void Labour();
  std::optional<Job> Next();
  void Open(Work& work);
  void Process(const Job& job, FrameDecoder& decoder, UploadCounts& counts);
  void Abort(Error error);
  void FailJob(const Job& job, Error error);
  void JobDone(const Job& job);
  void Complete(Work& work, Uploader::Outcome outcome);
  bool Stopped() const;

  const std::shared_ptr<Device> device_;
  const DeviceAllocator& allocator_;
  StagingRing& ring_;
  LoadedModel& model_;
  const std::span<const UploadRequest> requests_;
  const Uploader::Hooks& hooks_;

  std::mutex reporting_;      // held while the caller's functions run; taken before mutex_
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<Work> works_;
  size_t next_work_ = 0;
  bool opening_ = false;  // a thread opens the tensor before next_work_
  std::deque<Job> jobs_;
  size_t ahead_ = 1;  // a tensor is opened before there are fewer jobs
  std::optional<Error> fatal_;
  uint64_t done_ = 0, total_ = 0;
  UploadCounts counts_;
  std::vector<Uploader::Outcome> outcomes_;
};

}  // namespace ingot

#include "runtime/device/upload_run.h"

#include <map>
#include <new>
#include <system_error>
#include <thread>
#include <tuple>

namespace ingot {
namespace {

// Whether an error says something about the bytes of one tensor only.
bool IsOfOneTensor(const Error& error) { return error.code == ErrorCode::kBadInput || error.code == ErrorCode::kIo; }

Error NoMemory() { return {ErrorCode::kMemory, "no memory"}; }

void Add(UploadCounts& sum, const UploadCounts& more) {
  sum.copied += more.copied, sum.hashed += more.hashed, sum.checked += more.checked;
  sum.uploaded += more.uploaded, sum.copies += more.copies;
}

}  // namespace

UploadRun::UploadRun(std::shared_ptr<Device> device, const DeviceAllocator& allocator, StagingRing& ring,
                     LoadedModel& model, std::span<const UploadRequest> requests, const Uploader::Hooks& hooks)
    : device_(std::move(device)),
      allocator_(allocator),
      ring_(ring),
      model_(model),
      requests_(requests),
      hooks_(hooks),
      outcomes_(requests.size()) {
  // Tied tensors have the same parts.
  using Key = std::tuple<uint32_t, uint32_t, uint32_t, bool, uint64_t, uint64_t, uint64_t, uint64_t>;
  std::map<Key, Work*> known;
  const Model& m = model.model();
  for (size_t i = 0; i < requests.size(); ++i) {
    const UploadRequest& request = requests[i];
    const TensorRecord record = m.tensor(request.tensor);
    const MatrixSlice slice = request.slice.value_or(MatrixSlice{});
    const Key key = {m.id(request.tensor).container,
                     record.first_part,
                     record.part_count,
                     request.slice.has_value(),
                     slice.row,
                     slice.rows,
                     slice.column,
                     slice.columns};
    Work*& work = known[key];
    if (work == nullptr) {
      work = &works_.emplace_back();
      work->estimate = PlaneBytesOf(m.container_of(request.tensor).index(), record);
      total_ += work->estimate;
    }
    work->requests.push_back(i);
  }
}

Result<std::vector<Uploader::Outcome>> UploadRun::Run(int threads) {
  ahead_ = 2 * static_cast<size_t>(threads);
  std::vector<std::thread> others;
  try {
    for (int i = 1; i < threads; ++i) others.emplace_back([this] { Labour(); });
  } catch (const std::system_error&) {  // with fewer, then
  } catch (const std::bad_alloc&) {
  }
  Labour();
  for (std::thread& thread : others) thread.join();
  try {
    ring_.Drain();
  } catch (const std::bad_alloc&) {
    Abort(NoMemory());
    ring_.Drain();  // an aborted run allocates nothing
  }
  if (fatal_) return tl::unexpected(*fatal_);
  return std::move(outcomes_);
}

void UploadRun::Labour() {
  UploadCounts counts;
  try {
    FrameDecoder decoder;
    while (const auto job = Next()) Process(*job, decoder, counts);
  } catch (const std::bad_alloc&) {
    Abort(NoMemory());
  }
  const std::lock_guard lock(mutex_);
  Add(counts_, counts);
}

bool UploadRun::Stopped() const {
  const std::lock_guard lock(mutex_);
  return fatal_.has_value();
}

// The next job. A tensor is opened, by one thread at a time, when few jobs are left, so that the others have some
// meanwhile.
std::optional<UploadRun::Job> UploadRun::Next() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (fatal_) return std::nullopt;
    const bool may_open = next_work_ < works_.size() && !opening_;
    if (!jobs_.empty() && (!may_open || jobs_.size() >= ahead_)) {
      const Job job = jobs_.front();
      jobs_.pop_front();
      return job;
    }
    if (may_open) {
      Work& work = works_[next_work_++];
      opening_ = true;
      lock.unlock();
      Open(work);
      lock.lock();
      opening_ = false;
      changed_.notify_all();
    } else if (opening_) {
      changed_.wait(lock);
    } else {
      return std::nullopt;
    }
  }
}

void UploadRun::Open(Work& work) {
  const UploadRequest& request = requests_[work.requests.front()];
  const Model::TensorId id = model_.model().id(request.tensor);
  auto opened = TensorUpload::Open(model_.store(id.container), id.tensor, request.slice, device_, allocator_);
  if (!opened) {
    if (!IsOfOneTensor(opened.error())) return Abort(std::move(opened.error()));
    {
      const std::lock_guard lock(mutex_);
      total_ -= work.estimate;
    }
    return Complete(work, tl::unexpected(opened.error()));
  }
  const size_t jobs = (*opened)->job_count();
  {
    const std::lock_guard lock(mutex_);
    total_ += (*opened)->bytes() - work.estimate;
    work.upload = std::move(*opened);
    work.pending = jobs;
    for (size_t i = 0; i < jobs; ++i) jobs_.push_back({&work, i});
  }
  if (jobs == 0) Complete(work, work.upload->tensor());
}

void UploadRun::Process(const Job& job, FrameDecoder& decoder, UploadCounts& counts) {
  const Work& work = *job.work;
  bool skip = false;
  {
    const std::lock_guard lock(mutex_);
    skip = work.error && work.error_job < job.number;
  }
  if (skip) return JobDone(job);
  StagingRing::Slot slot = ring_.Take();
  if (Stopped()) return;
  std::vector<DeviceCopy> copies;
  if (auto filled = work.upload->Fill(job.number, decoder, slot.bytes(), copies, counts); !filled) {
    if (!IsOfOneTensor(filled.error())) return Abort(std::move(filled.error()));
    FailJob(job, std::move(filled.error()));
    return JobDone(job);
  }
  ring_.Send(std::move(slot), copies, [this, job](const Status& copied) {
    if (!copied && !Stopped())
      Abort({copied.error().code, fmt::format("{}: {}", job.work->upload->Name(), copied.error().message)});
    JobDone(job);
  });
}

// Of several errors the first.
void UploadRun::Abort(Error error) {
  const std::lock_guard lock(mutex_);
  if (!fatal_) fatal_ = std::move(error);
  changed_.notify_all();
}

// Of several jobs of a tensor that fail, the first one is named, so that the message is the same every time.
void UploadRun::FailJob(const Job& job, Error error) {
  const std::lock_guard lock(mutex_);
  Work& work = *job.work;
  if (work.error && work.error_job < job.number) return;
  work.error = std::move(error);
  work.error_job = job.number;
}

// The caller's functions are not called any more once one of them said stop: that is known before the next may begin.
void UploadRun::JobDone(const Job& job) {
  Work& work = *job.work;
  {
    const std::lock_guard reporting(reporting_);
    if (Stopped()) return;
    std::unique_lock lock(mutex_);
    done_ += work.upload->job_bytes(job.number);
    const uint64_t done = done_, total = total_;
    lock.unlock();
    if (hooks_.progress && !hooks_.progress(done, total)) return Abort(Interrupted().value());
  }
  std::unique_lock lock(mutex_);
  if (--work.pending > 0) return;
  lock.unlock();
  Complete(work, work.error ? Uploader::Outcome(tl::unexpected(*work.error)) : work.upload->tensor());
}

void UploadRun::Complete(Work& work, Uploader::Outcome outcome) {
  const std::lock_guard reporting(reporting_);
  if (Stopped()) return;
  work.upload.reset();
  for (size_t request : work.requests) {
    outcomes_[request] = outcome;
    if (hooks_.on_tensor) hooks_.on_tensor(request, outcome);
  }
}

}  // namespace ingot

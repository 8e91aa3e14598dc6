// What is measured of files on a GPU: the upload, and decoding and products of a file's own tensors.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/device/upload.h"
#include "tools/bench/cuda/sections.h"
#include "tools/bench/file_groups.h"
#include "tools/bench/file_work.h"
#include "tools/open_model.h"

namespace ingot::bench {
namespace {

Result<std::unique_ptr<Uploader>> MakeUploader(const GpuBench& gpu, int threads) {
  UploaderOptions options;
  options.threads = threads;
  return Uploader::Make(gpu.gpu().device(), options);
}

Result<std::shared_ptr<LoadedModel>> OpenFor(const std::string& path, VerifyMode verify, int threads) {
  LoadOptions options;
  options.verify = verify, options.threads = threads;
  return LoadedModel::Open(path, options);
}

// As many bytes from pinned memory, copied and waited for.
class PinnedCopy {
 public:
  static Result<std::shared_ptr<const PinnedCopy>> Make(const GpuBenchPtr& gpu, uint64_t bytes) {
    std::shared_ptr<PinnedCopy> copy(new PinnedCopy());
    copy->gpu_ = gpu;
    copy->size_ = std::min<uint64_t>(bytes, 32 << 20);
    copy->times_ = (bytes + copy->size_ - 1) / copy->size_;
    auto to = gpu->Allocate(copy->size_);
    if (!to) return Propagate(to);
    copy->to_ = *to;
    auto from = gpu->device().AllocatePinned(copy->size_);
    if (!from) return Propagate(from);
    copy->from_ = *from;
    std::fill_n(copy->from_, copy->size_, std::byte{1});
    return copy;
  }
  ~PinnedCopy() {
    if (from_ != nullptr) gpu_->device().FreePinned(from_, size_);
  }
  Work AsWork(Status& failed) const {
    return {static_cast<double>(size_ * times_), [this, &failed] {
              DeviceCopy copy;
              copy.to = to_->data(), copy.from = from_, copy.size = size_;
              for (uint64_t i = 0; i < times_ && failed; ++i) failed = gpu_->device().Copy(copy, nullptr);
              if (failed) failed = gpu_->device().WaitForStream(nullptr);
            }};
  }

 private:
  PinnedCopy() = default;
  GpuBenchPtr gpu_;
  uint64_t size_ = 0, times_ = 0;
  std::shared_ptr<const DeviceMemory> to_;
  std::byte* from_ = nullptr;
};

// The tensors of a group on the GPU, those that kernels can decode.
Result<std::vector<DeviceTensorPtr>> UploadGroup(const GpuBench& gpu, const std::string& path, const Group& group) {
  auto model = OpenFor(path, VerifyMode::kLazy, 2);
  if (!model) return Propagate(model);
  auto uploader = MakeUploader(gpu, 2);
  if (!uploader) return Propagate(uploader);
  std::vector<UploadRequest> requests;
  for (uint32_t number : group.tensors) requests.push_back({number, {}});
  auto tensors = (*uploader)->UploadAll(**model, requests);
  if (!tensors) return Propagate(tensors);
  std::erase_if(*tensors, [](const DeviceTensorPtr& tensor) {
    return !tensor->can_decode() || tensor->slice().rows == 0 || tensor->slice().columns == 0;
  });
  return tensors;
}

Task DecodeGroup(const GpuBenchPtr& gpu, const std::string& path, const Group& group) {
  return [=](Bench& into) -> Status {
    const auto tensors = UploadGroup(*gpu, path, group);
    if (!tensors) return Propagate(tensors);
    uint64_t values = 0, bytes = 0;
    for (const DeviceTensorPtr& tensor : *tensors) {
      values += tensor->slice().rows * tensor->slice().columns;
      bytes += tensor->bytes();
    }
    if (values == 0) return {};
    const auto out = gpu->Allocate(2 * values);
    if (!out) return Propagate(out);
    const auto decode = [&]() -> Status {
      std::byte* at = (*out)->data();
      for (const DeviceTensorPtr& tensor : *tensors) {
        const MatrixSlice& whole = tensor->slice();
        if (auto done = tensor->Decode(whole, DType::kF16, at, whole.columns, nullptr); !done) return done;
        at += 2 * whole.rows * whole.columns;
      }
      return {};
    };
    into.AddRate({"decode", group.encoding, "f16", "copy on the device, bytes read and written"},
                 gpu->Enqueued(static_cast<double>(bytes + 2 * values), decode), gpu->Copy());
    return gpu->Wait();
  };
}

// All tensors of a group one after the other, as if they were one matrix of their rows.
Task MultiplyGroup(const GpuBenchPtr& gpu, const std::string& path, const Group& group, uint64_t batch) {
  return [=](Bench& into) -> Status {
    auto tensors = UploadGroup(*gpu, path, group);
    if (!tensors) return Propagate(tensors);
    std::erase_if(*tensors, [](const DeviceTensorPtr& tensor) { return !tensor->can_multiply(); });
    uint64_t most_columns = 0, most_rows = 0, values = 0, bytes = 0;
    for (const DeviceTensorPtr& tensor : *tensors) {
      most_columns = std::max(most_columns, tensor->slice().columns);
      most_rows = std::max(most_rows, tensor->slice().rows);
      values += tensor->slice().rows * tensor->slice().columns;
      bytes += tensor->bytes();
    }
    if (values == 0) return {};
    for (const ProductWay& way : ProductWays()) {
      const auto x = GpuActivations::Make(*gpu, way.type, batch, most_columns, most_rows);
      if (!x) return Propagate(x);
      uint64_t needed = 1;
      for (const DeviceTensorPtr& tensor : *tensors) {
        const MatrixSlice& whole = tensor->slice();
        const auto scratch = tensor->ScratchBytes(whole, x->Request(whole.rows, whole.columns, way.precision));
        if (!scratch) return Propagate(scratch);
        needed = std::max(needed, *scratch);
      }
      const auto scratch = gpu->Allocate(needed);
      if (!scratch) return Propagate(scratch);
      const auto multiply = [&]() -> Status {
        for (const DeviceTensorPtr& tensor : *tensors) {
          const MatrixSlice& whole = tensor->slice();
          cuda::ProductRequest request = x->Request(whole.rows, whole.columns, way.precision);
          request.scratch = (*scratch)->data();
          if (auto done = tensor->Multiply(whole, request, nullptr); !done) return done;
        }
        return {};
      };
      const Status measured =
          AddProduct(into, *gpu, group.encoding, way, batch, bytes, values / most_columns, most_columns, multiply);
      if (!measured) return measured;
    }
    return {};
  };
}

}  // namespace

Status MeasureUpload(Bench& into, const GpuBenchPtr& gpu, const std::string& path, const std::string& row,
                     uint64_t bytes) {
  const auto pinned = PinnedCopy::Make(gpu, bytes);
  if (!pinned) return Propagate(pinned);
  Status failed;
  for (int threads : into.thread_counts()) {
    const auto uploader = MakeUploader(*gpu, threads);
    if (!uploader) return Propagate(uploader);
    for (const VerifyMode verify : {VerifyMode::kLazy, VerifyMode::kOff}) {
      const auto upload = [&] {
        const auto model = OpenFor(path, verify, threads);  // anew: nothing is verified yet
        if (!model) return void(failed = Propagate(model));
        std::vector<UploadRequest> all;
        for (uint32_t i = 0; i < (*model)->model().tensor_count(); ++i) all.push_back({i, {}});
        if (const auto done = (*uploader)->UploadAll(**model, all); !done) failed = Propagate(done);
      };
      into.AddRate(
          {"upload, file cached", row, OnThreads(verify == VerifyMode::kOff ? "not verified" : "verified", threads),
           "copy of as many bytes from pinned memory"},
          {static_cast<double>(bytes), upload}, (*pinned)->AsWork(failed));
      if (!failed) return failed;
    }
  }
  return {};
}

std::vector<Task> GpuUploadTasks(const Bench& bench, const GpuBenchPtr& gpu) {
  const uint64_t count = bench.quick() ? 2 : 64, values = bench.quick() ? 1 << 16 : 1 << 20;
  const uint64_t bytes = count * values * sizeof(float);
  const std::string row = fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
  return {OnFile(count, values, kLargeWrite,
                 [=](Bench& into, const std::string& path) { return MeasureUpload(into, gpu, path, row, bytes); })};
}

Result<std::vector<Task>> GpuFileTasks(const Bench&, const GpuBenchPtr& gpu, const std::string& path,
                                       const std::function<bool(const std::string& section)>& wanted) {
  const auto model = OpenModel(path);
  if (!model) return Propagate(model);
  std::vector<Task> tasks;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < (*model)->tensor_count(); ++i) {
    if (!(*model)->is_alias(i)) bytes += PlaneBytesOf((*model)->container_of(i).index(), (*model)->tensor(i));
  }
  if (wanted("upload") && bytes > 0) {
    const std::string row = fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
    tasks.push_back([=](Bench& into) { return MeasureUpload(into, gpu, path, row, bytes); });
  }
  const std::vector<Group> groups = GroupsOf(**model);
  for (const Group& group : groups) {
    if (wanted("decode")) tasks.push_back(DecodeGroup(gpu, path, group));
  }
  for (uint64_t batch : {1, 4, 16, 32, 512}) {
    for (const Group& group : groups) {
      if (wanted(batch <= 16 ? "gemv" : "gemm")) tasks.push_back(MultiplyGroup(gpu, path, group, batch));
    }
  }
  return tasks;
}

}  // namespace ingot::bench

// Devices: counting, opening, describing, waiting; uploads.
#include <vector>

#include "kernels/cuda/device.h"
#include "runtime/abi/arguments.h"
#include "runtime/device/cuda_device.h"

using namespace ingot;
using namespace ingot::abi;

namespace {

tl::expected<UploaderOptions, Failure> OptionsOf(const ingot_device_options* theirs) {
  UploaderOptions options;
  if (theirs == nullptr) return options;
  if (auto checked = CheckStruct(theirs, "options"); !checked) return tl::unexpected(checked.error());
  const ingot_device_options ours = TakeIn(theirs);
  if (ours.threads > static_cast<uint32_t>(kMostUploadThreads))
    return Refuse(INGOT_E_ARGUMENT, "options->threads is {}, at most {} are used", ours.threads, kMostUploadThreads);
  if (ours.streams > static_cast<uint32_t>(kMostUploadStreams))
    return Refuse(INGOT_E_ARGUMENT, "options->streams is {}, at most {} are used", ours.streams, kMostUploadStreams);
  if ((ours.allocate == nullptr) != (ours.release == nullptr))
    return Refuse(INGOT_E_ARGUMENT, "options: of allocate and release, one is NULL");
  if (ours.threads != 0) options.threads = static_cast<int>(ours.threads);
  if (ours.streams != 0) options.streams = static_cast<int>(ours.streams);
  if (ours.ring_bytes != 0) options.ring_bytes = ours.ring_bytes;
  options.allocator = {ours.user, ours.allocate, ours.release};
  return options;
}

tl::expected<ingot_device_info, Failure> Describe(const ingot_device& device) {
  const DeviceInfo& of = device.device->info();
  const auto memory = device.device->MemoryInfo();
  if (!memory) return Pass(memory);
  auto info = Blank<ingot_device_info>();
  info.number = of.number;
  info.architecture = of.architecture;
  info.multiprocessors = of.multiprocessors;
  info.memory_bytes = memory->total;
  info.free_bytes = memory->free;
  info.name = TextOf(of.name);
  return info;
}

// ---- uploads

bool IsBlank(const ingot_slice& slice) {
  const auto zero = Blank<ingot_slice>();
  return std::memcmp(&slice, &zero, sizeof zero) == 0;
}

tl::expected<UploadRequest, Failure> RequestOf(const Model& model, const ingot_upload& upload) {
  if (upload.reserved != 0) return Refuse(INGOT_E_ARGUMENT, "reserved is {}, must be 0", upload.reserved);
  if (upload.tensor >= model.tensor_count())
    return Refuse(INGOT_E_NOT_FOUND, "{}: there is no tensor {}, there are {}", model.main().path(), upload.tensor,
                  model.tensor_count());
  UploadRequest request;
  request.tensor = upload.tensor;
  if (IsBlank(upload.slice)) return request;
  const TensorRecord record = model.tensor(upload.tensor);
  const Container& file = model.container_of(upload.tensor);
  const PartLayout layout(file.index(), record);
  const auto slice = SliceWithin({0, layout.rows(), 0, layout.columns()},
                                 fmt::format("{}: tensor '{}'", file.path(), Escape(record.name)), &upload.slice);
  if (!slice) return tl::unexpected(slice.error());
  request.slice = *slice;
  return request;
}

tl::expected<std::vector<UploadRequest>, Failure> RequestsOf(const Model& model, const ingot_upload* uploads,
                                                             size_t count) {
  std::vector<UploadRequest> requests;
  for (size_t i = 0; i < count; ++i) {
    // The caller's structs may be smaller than ours, and so be closer together.
    const auto* at = reinterpret_cast<const ingot_upload*>(reinterpret_cast<const std::byte*>(uploads) +
                                                           i * (i == 0 ? 0 : uploads->struct_size));
    const std::string name = fmt::format("uploads[{}]", i);
    if (auto checked = CheckStruct(at, name.c_str()); !checked) return tl::unexpected(checked.error());
    if (at->struct_size != uploads->struct_size)
      return Refuse(INGOT_E_ARGUMENT, "{}.struct_size is {}, that of the first one {}", name, at->struct_size,
                    uploads->struct_size);
    const auto request = RequestOf(model, TakeIn(at));
    if (!request) return Refuse(request.error().status, "{}: {}", name, request.error().text);
    requests.push_back(*request);
  }
  return requests;
}

// Made by the first upload, since its ring takes memory.
tl::expected<Uploader*, Failure> UploaderOf(ingot_device& device) {
  const std::lock_guard lock(device.mutex);
  if (device.uploader == nullptr) {
    auto made = Uploader::Make(device.device, device.options);
    if (!made) return Pass(made);
    device.uploader = std::move(*made);
  }
  return device.uploader.get();
}

ingot_device_tensor* HandleOf(const Model& model, const UploadRequest& request, const DeviceTensorPtr& tensor) {
  return new ingot_device_tensor(std::string(model.tensor(request.tensor).name), tensor);
}

ProgressFn ProgressOf(const ingot_upload_hooks& hooks) {
  if (hooks.progress == nullptr) return {};
  return [&hooks](uint64_t done, uint64_t total) { return hooks.progress(hooks.user, done, total) == 0; };
}

Outcome UploadEach(Uploader& uploader, LoadedModel& model, const std::vector<UploadRequest>& requests,
                   const ingot_upload_hooks& theirs) {
  Uploader::Hooks hooks;
  hooks.progress = ProgressOf(theirs);
  hooks.on_tensor = [&](size_t request, const Uploader::Outcome& outcome) {
    if (outcome) {
      theirs.uploaded(theirs.user, request, HandleOf(model.model(), requests[request], *outcome), INGOT_OK, "");
      return;
    }
    const Failure failure = FailureOf(outcome.error());
    theirs.uploaded(theirs.user, request, nullptr, failure.status, failure.text.c_str());
  };
  if (auto uploaded = uploader.Upload(model, requests, hooks); !uploaded) return Pass(uploaded);
  return {};
}

Outcome UploadAll(Uploader& uploader, LoadedModel& model, const std::vector<UploadRequest>& requests,
                  const ingot_upload_hooks& hooks, ingot_device_tensor** out) {
  const auto tensors = uploader.UploadAll(model, requests, ProgressOf(hooks));
  if (!tensors) return Pass(tensors);
  std::vector<std::unique_ptr<ingot_device_tensor>> handles;
  for (size_t i = 0; i < tensors->size(); ++i)
    handles.emplace_back(HandleOf(model.model(), requests[i], (*tensors)[i]));
  for (size_t i = 0; i < handles.size(); ++i) out[i] = handles[i].release();
  return {};
}

}  // namespace

namespace ingot::abi {

tl::expected<ingot_device*, Failure> MakeDevice(std::shared_ptr<Device> device, const ingot_device_options* options) {
  const auto how = OptionsOf(options);
  if (!how) return tl::unexpected(how.error());
  return new ingot_device(std::move(device), *how);
}

}  // namespace ingot::abi

extern "C" {

ingot_status ingot_device_count(uint32_t* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{out, "out"}}); !there) return there;
    const auto count = cuda::CountDevices();
    if (!count) return Pass(count);
    *out = static_cast<uint32_t>(*count);
    return {};
  });
}

ingot_status ingot_device_open(uint32_t number, const ingot_device_options* options, ingot_device** out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{out, "out"}}); !there) return there;
    if (auto possible = OptionsOf(options); !possible) return tl::unexpected(possible.error());
    // What is no int is no device either.
    auto device = OpenCudaDevice(static_cast<int>(std::min<uint32_t>(number, INT32_MAX)));
    if (!device) return Pass(device);
    const auto made = MakeDevice(std::move(*device), options);
    if (!made) return tl::unexpected(made.error());
    *out = *made;
    return {};
  });
}

ingot_device* ingot_device_retain(ingot_device* device) {
  if (device != nullptr) device->references.fetch_add(1, std::memory_order_relaxed);
  return device;
}

void ingot_device_release(ingot_device* device) {
  if (device != nullptr && device->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete device;
}

ingot_status ingot_device_describe(const ingot_device* device, ingot_device_info* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{device, "device"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    const auto info = Describe(*device);
    if (!info) return tl::unexpected(info.error());
    HandOut(*info, out);
    return {};
  });
}

ingot_status ingot_device_wait(const ingot_device* device, void* stream) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{device, "device"}}); !there) return there;
    if (auto done = device->device->WaitForStream(stream); !done) return Pass(done);
    return {};
  });
}

ingot_status ingot_device_upload(ingot_device* device, ingot_model* model, const ingot_upload* uploads, size_t count,
                                 const ingot_upload_hooks* hooks, ingot_device_tensor** out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{device, "device"}, {model, "model"}}); !there) return there;
    if (count > 0 && uploads == nullptr) return Refuse(INGOT_E_ARGUMENT, "uploads is NULL");
    auto theirs = Blank<ingot_upload_hooks>();
    if (hooks != nullptr) {
      if (auto checked = CheckStruct(hooks, "hooks"); !checked) return checked;
      theirs = TakeIn(hooks);
    }
    if (theirs.uploaded != nullptr && out != nullptr)
      return Refuse(INGOT_E_ARGUMENT, "out must be NULL, hooks->uploaded is told of each tensor");
    if (theirs.uploaded == nullptr && out == nullptr && count > 0) return Refuse(INGOT_E_ARGUMENT, "out is NULL");
    const auto requests = RequestsOf(model->loaded->model(), uploads, count);
    if (!requests) return tl::unexpected(requests.error());
    if (requests->empty()) return {};
    const auto uploader = UploaderOf(*device);
    if (!uploader) return tl::unexpected(uploader.error());
    if (theirs.uploaded != nullptr) return UploadEach(**uploader, *model->loaded, *requests, theirs);
    return UploadAll(**uploader, *model->loaded, *requests, theirs, out);
  });
}

}  // extern "C"

#include "tools/llama/cuda/gpu_weights.h"

#include <map>
#include <utility>

#include "tools/llama/failure.h"

namespace llama {
namespace {

// Collects what is needed, uploads all at once, hands it out by the number that it has in the model.
class Uploads {
 public:
  explicit Uploads(const Weights& weights) {
    Add(weights.embedding);
    Add(weights.head.weight);
    for (const Layer& layer : weights.layers) {
      for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down})
        Add(linear->weight);
    }
  }

  void Run(Gpu& gpu, const IngotFile& file, const UploadProgress& progress) {
    if (const ingot_device_info info = gpu.info(); bytes_ > info.free_bytes)  // rather than after minutes
      Fail(kInputOutput, "{}: the weights take {} bytes on {}, which has {} free", file.path(), bytes_, gpu.name(),
           info.free_bytes);
    std::vector<ingot_upload> requests;
    for (const auto& [number, tensor] : tensors_) {
      ingot_upload request{};
      request.struct_size = sizeof request;
      request.tensor = number;
      requests.push_back(request);
    }
    Hook hook{progress, false};
    ingot_upload_hooks hooks{};
    hooks.struct_size = sizeof hooks;
    hooks.user = &hook;
    hooks.progress = [](void* user, uint64_t done, uint64_t total) {
      auto& own = *static_cast<Hook*>(user);
      own.stopped = own.stopped || !own.progress(done, total);
      return own.stopped ? 1 : 0;
    };
    std::vector<ingot_device_tensor*> out(requests.size());
    const ingot_status status =
        ingot_device_upload(gpu.device(), file.handle(), requests.data(), requests.size(), &hooks, out.data());
    if (hook.stopped) Fail(kInterrupted, "interrupted");
    Check(status);
    size_t i = 0;
    for (auto& [number, tensor] : tensors_) tensor = GpuTensor(out[i++], &ingot_device_tensor_release);
  }

  // Refuses what kernels cannot do, before the first token.
  GpuTensor ToDecode(const Tensor& tensor) const {
    const auto [uploaded, info] = Uploaded(tensor);
    if (info.can_decode == 0) Refuse(tensor, "decoded");
    return uploaded;
  }
  GpuTensor ToMultiply(const Tensor& tensor) const {
    const auto [uploaded, info] = Uploaded(tensor);
    if (info.can_multiply == 0) Refuse(tensor, "multiplied");
    return uploaded;
  }

 private:
  struct Hook {
    const UploadProgress& progress;
    bool stopped;
  };

  void Add(const Tensor& tensor) {
    const ingot_tensor_info& info = tensor.info();
    if (tensors_.emplace(info.number, nullptr).second && info.is_alias == 0) bytes_ += info.plane_bytes;
  }

  std::pair<GpuTensor, ingot_device_tensor_info> Uploaded(const Tensor& tensor) const {
    const GpuTensor& found = tensors_.at(tensor.info().number);
    ingot_device_tensor_info info{};
    info.struct_size = sizeof info;
    Check(ingot_device_tensor_describe(found.get(), &info));
    return {found, info};
  }

  [[noreturn]] static void Refuse(const Tensor& tensor, const char* what) {
    const ingot_text encoding = tensor.info().encoding;
    Fail(kBadInput, "tensor '{}' cannot be {} on a GPU: its encoding is {}", tensor.name(), what,
         Printable({encoding.data, encoding.size}));
  }

  std::map<uint32_t, GpuTensor> tensors_;
  uint64_t bytes_ = 0;  // of all planes, at least
};

}  // namespace

GpuWeights UploadWeights(Gpu& gpu, const IngotFile& file, const Weights& weights, const UploadProgress& progress) {
  Uploads uploads(weights);
  uploads.Run(gpu, file, progress);
  const auto vector = [&](const std::vector<float>& values) { return GpuArray<float>(gpu, std::span(values)); };
  const auto linear = [&](const Linear& of) { return GpuLinear{uploads.ToMultiply(of.weight), vector(of.bias)}; };
  GpuWeights out;
  out.embedding = uploads.ToDecode(weights.embedding);
  for (const Layer& l : weights.layers) {
    out.layers.push_back({vector(l.attention_norm), vector(l.mlp_norm), linear(l.q), linear(l.k), linear(l.v),
                          linear(l.output), linear(l.gate), linear(l.up), linear(l.down)});
  }
  out.norm = vector(weights.norm);
  out.head = linear(weights.head);
  return out;
}

}  // namespace llama

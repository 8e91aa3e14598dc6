#include "tools/any_source.h"

#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <utility>

#include "convert/detect.h"
#include "convert/encoded_tensor.h"
#include "convert/huggingface.h"
#include "convert/source.h"
#include "format/checked.h"
#include "kernels/widen.h"
#include "runtime/model.h"
#include "runtime/tensor_reader.h"

namespace ingot {
namespace {

class ModelValues : public TensorValues {
 public:
  explicit ModelValues(TensorReader reader) : reader_(std::move(reader)) {}
  Status DecodeF32(uint64_t first, uint64_t count, float* out) const override {
    return reader_.Decode(first, count, out);
  }
  bool is_raw() const override { return reader_.is_raw(); }
  Status ReadRaw(uint64_t first, uint64_t count, std::byte* out) const override {
    return reader_.ReadRaw(first, count, out);
  }

 private:
  TensorReader reader_;
};

class ModelAccess : public TensorAccess {
 public:
  explicit ModelAccess(std::shared_ptr<const Model> model) : model_(std::move(model)) {
    for (uint32_t i = 0; i < model_->tensor_count(); ++i) {
      const TensorRecord record = model_->tensor(i);
      tensors_.push_back({std::string(record.name), static_cast<DType>(record.dtype), record.shape()});
    }
  }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  Result<std::unique_ptr<TensorValues>> Open(size_t i) const override {
    auto reader = TensorReader::Open(*model_, static_cast<uint32_t>(i));
    if (!reader) return Propagate(reader);
    return std::make_unique<ModelValues>(std::move(*reader));
  }
  std::optional<std::string> Obstacle(size_t i) const override {
    const Index& index = model_->container_of(static_cast<uint32_t>(i)).index();
    const TensorRecord record = model_->tensor(static_cast<uint32_t>(i));
    for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
      const uint32_t number = index.part(p).encoding;
      const EncodingRecord encoding = index.encoding(number);
      if (encoding.is(EncodingKind::kRaw) || encoding.is(EncodingKind::kLinear)) continue;
      return "its encoding is " + DescribeEncoding(index, number, record.dtype);
    }
    return std::nullopt;
  }

 private:
  std::shared_ptr<const Model> model_;
  std::vector<TensorInfo> tensors_;
};

class SourceValues : public TensorValues {
 public:
  SourceValues(const Source& source, const SourceTensor& tensor) : source_(source), tensor_(tensor) {}
  Status DecodeF32(uint64_t first, uint64_t count, float* out) const override {
    if (tensor_.encoded != nullptr) return tensor_.encoded->Decode(first, count, out);
    std::vector<std::byte> raw(count * InfoOf(tensor_.dtype).size);
    if (auto read = ReadRaw(first, count, raw.data()); !read) return read;
    if (WidenToF32(tensor_.dtype, raw.data(), count, out)) return {};
    return Fail(ErrorCode::kBadInput, "{}: {} has no values in f32", tensor_.name, InfoOf(tensor_.dtype).name);
  }
  bool is_raw() const override { return tensor_.encoded == nullptr; }
  Status ReadRaw(uint64_t first, uint64_t count, std::byte* out) const override {
    const uint64_t size = InfoOf(tensor_.dtype).size;
    if (tensor_.strides.empty()) return ReadElements(source_, tensor_, first, count, {out, count * size});
    Window& window = windows_.local();
    if (first < window.first || !InRange((first - window.first) * size, count * size, window.bytes.size())) {
      if (auto filled = Fill(window, first, count); !filled) {
        window.bytes.clear();
        return filled;
      }
    }
    std::memcpy(out, window.bytes.data() + (first - window.first) * size, count * size);
    return {};
  }

 private:
  // Of a tensor with strides: what is read next is fetched too, in pieces long enough to be worth it.
  struct Window {
    uint64_t first = 0;
    std::vector<std::byte> bytes;
  };
  Status Fill(Window& window, uint64_t first, uint64_t count) const {
    constexpr uint64_t kElements = uint64_t{1} << 19;
    const uint64_t size = InfoOf(tensor_.dtype).size;
    window.first = first;
    window.bytes.resize(std::min(std::max(count, kElements), tensor_.size / size - first) * size);
    return ReadElements(source_, tensor_, first, window.bytes.size() / size, window.bytes);
  }

  const Source& source_;
  const SourceTensor& tensor_;
  mutable tbb::enumerable_thread_specific<Window> windows_;
};

class SourceAccess : public TensorAccess {
 public:
  explicit SourceAccess(std::unique_ptr<Source> source) : source_(std::move(source)) {
    order_.resize(source_->tensors().size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::sort(order_.begin(), order_.end(),
              [&](size_t a, size_t b) { return source_->tensors()[a].name < source_->tensors()[b].name; });
    for (size_t i : order_) {
      const SourceTensor& tensor = source_->tensors()[i];
      tensors_.push_back({tensor.name, tensor.dtype, tensor.shape});
    }
  }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  Result<std::unique_ptr<TensorValues>> Open(size_t i) const override {
    return std::make_unique<SourceValues>(*source_, source_->tensors()[order_[i]]);
  }
  std::optional<std::string> Obstacle(size_t i) const override {
    const EncodedTensor* encoded = source_->tensors()[order_[i]].encoded.get();
    if (encoded == nullptr || !encoded->plan().parts.empty()) return std::nullopt;
    return "its encoding is " + encoded->description();
  }

 private:
  std::unique_ptr<Source> source_;
  std::vector<size_t> order_;  // of source_->tensors(), by name
  std::vector<TensorInfo> tensors_;
};

// The .ingot file that a path stands for, if it does: the path itself, or the only checkpoint of a directory.
Result<std::optional<std::string>> FindIngot(const std::string& path) {
  std::error_code ignored;
  std::string file_path = path;
  if (std::filesystem::is_directory(path, ignored)) {
    const auto checkpoint = FindCheckpoint(path);
    if (!checkpoint) return Propagate(checkpoint);
    if (checkpoint->layout != CheckpointPath::Layout::kFile) return std::nullopt;
    file_path = checkpoint->path;
  }
  const auto file = File::OpenForReading(file_path);
  if (!file) return Propagate(file);
  const auto kind = DetectKind(SourceOf(*file));
  if (!kind) return Propagate(kind);
  if (*kind != FileKind::kIngot) return std::nullopt;
  return file_path;
}

}  // namespace

uint64_t TensorInfo::element_count() const {
  uint64_t product = 1;
  for (uint64_t dim : shape) product *= dim;
  return product;
}

Result<std::unique_ptr<TensorAccess>> OpenTensors(const std::string& path) {
  const auto ingot = FindIngot(path);
  if (!ingot) return Propagate(ingot);
  if (*ingot) {
    auto model = Model::Open(**ingot);
    if (!model) return Propagate(model);
    return std::make_unique<ModelAccess>(std::move(*model));
  }
  auto source = OpenSource(path);
  if (!source) return Propagate(source);
  return std::make_unique<SourceAccess>(std::move(*source));
}

}  // namespace ingot

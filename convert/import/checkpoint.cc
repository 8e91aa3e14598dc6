#include "convert/import/checkpoint.h"

#include <algorithm>

#include "convert/json_reader.h"
#include "format/checked.h"
#include "format/index_checker.h"
#include "format/text.h"
#include "kernels/widen.h"
#include "runtime/file.h"

namespace ingot {
namespace {

constexpr uint64_t kMaxConfigSize = uint64_t{64} << 20;

Result<Config> ReadConfig(const SourceAttachment& attachment) {
  auto file = File::OpenForReading(attachment.path);
  if (!file) return Propagate(file);
  if (file->size() > kMaxConfigSize) {
    return Fail(ErrorCode::kBadInput, "{}: {} bytes, at most {} are read", attachment.path, file->size(),
                kMaxConfigSize);
  }
  std::string text(file->size(), '\0');
  if (auto read = file->ReadAt(0, std::as_writable_bytes(std::span(text))); !read) return Propagate(read);
  auto json = ParseJson(text, attachment.path);
  if (!json) return Propagate(json);
  if (!json->is_object()) return Fail(ErrorCode::kBadInput, "{}: must be an object", attachment.path);
  return Config(std::move(*json), attachment.path);
}

std::string ShapeText(const Checkpoint::Shape& shape) {
  std::string text = "[";
  for (const auto& dim : shape) text += (text.size() > 1 ? ", " : "") + (dim ? fmt::format("{}", *dim) : "any");
  return text + "]";
}

std::string ShapeText(const std::vector<uint64_t>& shape) {
  return ShapeText(Checkpoint::Shape(shape.begin(), shape.end()));
}

}  // namespace

Result<CheckpointConfigs> CheckpointConfigs::Read(const std::vector<SourceAttachment>& files) {
  CheckpointConfigs out;
  const std::pair<std::string_view, Config*> known[] = {
      {"config.json", &out.config},
      {"quantize_config.json", &out.quantize_config},
      {"quant_config.json", &out.quantize_config},
      {"quantization_map.json", &out.quanto_map},
      {"quanto_qmap.json", &out.quanto_map},
  };
  for (const auto& [name, config] : known) {
    for (const SourceAttachment& attachment : files) {
      if (attachment.name != name || !config->empty()) continue;
      auto read = ReadConfig(attachment);
      if (!read) return Propagate(read);
      *config = std::move(*read);
    }
  }
  return out;
}

Result<Checkpoint> Checkpoint::Make(const Source& source, CheckpointConfigs configs) {
  Checkpoint out;
  out.source_ = &source;
  for (const SourceTensor& tensor : source.tensors()) out.by_name_.emplace(tensor.name, &tensor);
  out.configs_ = std::move(configs);
  for (std::string_view key : {"quantization_config", "compression_config", "quantization"}) {
    auto object = out.config().Object(key);
    if (!object) return Propagate(object);
    if (out.quantization_.empty()) out.quantization_ = std::move(*object);
  }
  if (out.quantization_.empty()) std::swap(out.quantization_, out.configs_.quantize_config);
  return out;
}

const SourceTensor* Checkpoint::Find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : at->second;
}

tl::unexpected<Error> Checkpoint::RefuseText(std::string_view name, const std::string& text) const {
  const SourceTensor* tensor = Find(name);
  const std::string& file = tensor == nullptr ? path() : source_->files()[tensor->file].path;
  return Fail(ErrorCode::kBadInput, "{}: tensor {}: {}", file, Quote(name), text);
}

Result<const SourceTensor*> Checkpoint::Need(std::string_view name, std::initializer_list<DType> types,
                                             const Shape& shape) const {
  const SourceTensor* tensor = Find(name);
  if (tensor == nullptr) return Refuse(name, "missing, though the others of its module are there");
  if (types.size() != 0 && std::find(types.begin(), types.end(), tensor->dtype) == types.end())
    return Refuse(name, "is {}, must be {}", InfoOf(tensor->dtype).name, InfoOf(*types.begin()).name);
  bool fits = tensor->shape.size() == shape.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) fits = !shape[i] || *shape[i] == tensor->shape[i];
  if (!fits) return Refuse(name, "has the shape {}, must be {}", ShapeText(tensor->shape), ShapeText(shape));
  return tensor;
}

std::vector<std::string> Checkpoint::Modules(std::string_view suffix) const {
  std::vector<std::string> modules;
  for (const SourceTensor& tensor : source_->tensors()) {
    if (tensor.name.ends_with(suffix)) modules.push_back(tensor.name.substr(0, tensor.name.size() - suffix.size()));
  }
  return modules;
}

Status Imports::Add(std::string name, DType dtype, std::vector<uint64_t> shape,
                    std::shared_ptr<const EncodedTensor> encoded, std::initializer_list<const SourceTensor*> members) {
  if (!names_.insert(name).second || checkpoint_.Find(name) != nullptr) {
    const bool own = *members.begin() == checkpoint_.Find(name);  // as bitsandbytes: the codes have the name
    if (!own) return checkpoint_.Refuse(name, "is there twice: quantized, and as it is");
  }
  for (const PartPlan& part : encoded->plan().parts) {
    const auto elements = CheckedMul(part.linear.rows, part.linear.cols);
    const bool indexed = part.linear.permutation && part.linear.cols >= kMaxIndexedColumns;
    if (!elements || *elements >= kMaxMatrixSize || indexed)
      return checkpoint_.Refuse(name, "{} by {} codes are more than one encoding may have", part.linear.rows,
                                part.linear.cols);
  }
  const SourceTensor& codes = **members.begin();
  SourceTensor tensor{std::move(name), dtype, std::move(shape), codes.file, codes.offset, 0, std::move(encoded)};
  for (const SourceTensor* member : members) {
    if (member == nullptr) continue;
    tensor.size += member->size;
    taken_.insert(member);
  }
  tensors_.push_back(std::move(tensor));
  return {};
}

Status ReadBytes(const Source& source, const SourceTensor& tensor, uint64_t offset, std::span<std::byte> out) {
  const uint64_t size = InfoOf(tensor.dtype).size, first = offset / size, skip = offset % size;
  if (skip == 0 && out.size() % size == 0) return ReadElements(source, tensor, first, out.size() / size, out);
  std::vector<std::byte> whole(CeilDiv(skip + out.size(), size) * size);
  if (auto read = ReadElements(source, tensor, first, whole.size() / size, whole); !read) return read;
  std::copy_n(whole.begin() + static_cast<ptrdiff_t>(skip), out.size(), out.begin());
  return {};
}

Result<std::vector<std::byte>> ReadAll(const Source& source, const SourceTensor& tensor) {
  std::vector<std::byte> bytes(tensor.size);
  uint64_t elements = 1;
  for (uint64_t dim : tensor.shape) elements *= dim;
  if (auto read = ReadElements(source, tensor, 0, elements, bytes); !read) return Propagate(read);
  return bytes;
}

Result<std::vector<std::byte>> ReadColumns(const Source& source, const SourceTensor& tensor, uint64_t first,
                                           uint64_t count) {
  const uint64_t rows = tensor.shape[0], cols = tensor.shape[1], size = InfoOf(tensor.dtype).size;
  if (first == 0 && count == cols) return ReadAll(source, tensor);
  std::vector<std::byte> bytes(rows * count * size);
  for (uint64_t r = 0; r < rows; ++r) {
    const auto row = std::span(bytes).subspan(r * count * size, count * size);
    if (auto read = ReadElements(source, tensor, r * cols + first, count, row); !read) return Propagate(read);
  }
  return bytes;
}

Result<std::vector<float>> ReadFloats(const Source& source, const SourceTensor& tensor) {
  const auto bytes = ReadAll(source, tensor);
  if (!bytes) return Propagate(bytes);
  std::vector<float> values(bytes->size() / InfoOf(tensor.dtype).size);
  if (!WidenToF32(tensor.dtype, bytes->data(), values.size(), values.data()))
    return Fail(ErrorCode::kBadInput, "tensor {}: {} has no values in f32", Quote(tensor.name),
                InfoOf(tensor.dtype).name);
  return values;
}

}  // namespace ingot

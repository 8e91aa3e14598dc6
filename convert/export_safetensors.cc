#include "convert/export_safetensors.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "convert/export_stream.h"
#include "convert/safetensors.h"
#include "format/checked.h"
#include "format/text.h"
#include "kernels/widen.h"
#include "runtime/tensor_reader.h"

namespace ingot {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 20;
constexpr std::string_view kMetadataKey = "__metadata__";

bool IsSmallFloat(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

// What becomes of one tensor, but for its place.
Result<SafetensorsPlan::Tensor> PlanTensor(const Model& model, uint32_t number, std::optional<DType> dtype) {
  const TensorRecord record = model.tensor(number);
  const Index& index = model.container_of(number).index();
  const auto own = static_cast<DType>(record.dtype);
  const auto refuse = [&](const std::string& reason) {
    return Fail(ErrorCode::kBadInput, "{}: tensor '{}': {}", model.container_of(number).path(), Escape(record.name),
                reason);
  };
  if (record.name == kMetadataKey) return refuse("safetensors has no tensor of that name");
  bool raw = true;
  for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
    const uint32_t encoding = index.part(p).encoding;
    const EncodingRecord e = index.encoding(encoding);
    if (!e.is(EncodingKind::kRaw) && !e.is(EncodingKind::kLinear)) {
      return refuse(fmt::format("cannot be decoded: its encoding is {} (leave it out with --include)",
                                DescribeEncoding(index, encoding, record.dtype)));
    }
    raw = raw && e.is(EncodingKind::kRaw);
  }
  SafetensorsPlan::Tensor tensor{number, own, raw, ElementCount(record), 0};
  if (raw && (!dtype || !InfoOf(own).is_float)) return tensor;
  tensor.dtype = dtype ? *dtype : IsSmallFloat(own) ? own : DType::kF32;
  tensor.verbatim = raw && tensor.dtype == own;
  return tensor;
}

// What the source's own __metadata__ was, which a conversion keeps under "safetensors."; at least the format.
nlohmann::json MetadataOf(const Model& model) {
  constexpr std::string_view kPrefix = "safetensors.";
  nlohmann::json metadata = {{"format", "pt"}};
  const Index& index = model.main().index();
  for (uint32_t i = 0; i < index.count(Table::kMetadata); ++i) {
    const MetadataRecord record = index.metadata(i);
    if (record.type != static_cast<uint8_t>(MetadataType::kString) || !record.key.starts_with(kPrefix)) continue;
    metadata[std::string(record.key.substr(kPrefix.size()))] = AsText(record.value);
  }
  return metadata;
}

// One tensor of the new file.
struct Entry {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  uint64_t* offset;  // in the new file
};

// As safetensors' own writer does: large elements first, so that all are aligned; names ascend within a dtype.
bool ComesBefore(const Entry& a, const Entry& b) {
  return std::tuple(-InfoOf(a.dtype).size, a.dtype, std::string_view(a.name)) <
         std::tuple(-InfoOf(b.dtype).size, b.dtype, std::string_view(b.name));
}

// Places the tensors one after the other, from 0 on, and returns the JSON text of the header.
Result<std::string> PlaceEntries(const Model& model, const std::vector<Entry>& entries, uint64_t& end) {
  std::string text = R"({"__metadata__":)" + MetadataOf(model).dump();
  end = 0;
  for (const Entry& entry : entries) {
    *entry.offset = end;
    const auto elements = CheckedProduct(entry.shape);
    const auto bytes = elements ? CheckedMul(*elements, InfoOf(entry.dtype).size) : std::nullopt;
    const auto next = bytes ? CheckedAdd(end, *bytes) : std::nullopt;
    if (!next || *next >= uint64_t{1} << 62)
      return Fail(ErrorCode::kBadInput, "{}: the tensors are too large", model.main().path());
    const nlohmann::ordered_json json = {
        {"dtype", InfoOf(entry.dtype).name}, {"shape", entry.shape}, {"data_offsets", {end, *next}}};
    end = *next;
    text += "," + nlohmann::json(entry.name).dump() + ":" + json.dump();
    if (text.size() > kMaxSafetensorsHeader) {
      return Fail(ErrorCode::kBadInput, "{}: {} tensors need a safetensors header of more than {} bytes",
                  model.main().path(), entries.size(), kMaxSafetensorsHeader);
    }
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// A packed tensor may get a name that another one has.
Status CheckNames(const Model& model, const std::vector<Entry>& entries) {
  std::set<std::string_view> names;
  for (const Entry& entry : entries) {
    if (names.insert(entry.name).second) continue;
    return Fail(ErrorCode::kBadInput, "{}: two tensors would be called {} (leave one out with --include)",
                model.main().path(), Quote(entry.name));
  }
  return {};
}

// A tensor that blocks are decoded from; freed with the last of them.
using SharedReader = std::shared_ptr<const TensorReader>;

// Elements [first, first + count) of a tensor, as bytes of the new file.
Status DecodeBlock(const TensorReader& reader, const SafetensorsPlan::Tensor& tensor, uint64_t first, uint64_t count,
                   std::vector<std::byte>& bytes) {
  bytes.resize(count * InfoOf(tensor.dtype).size);
  if (tensor.verbatim) return reader.ReadRaw(first, count, bytes.data());
  if (reader.is_raw() && reader.dtype() == DType::kF64) {
    std::vector<std::byte> stored(count * sizeof(double));
    if (auto read = reader.ReadRaw(first, count, stored.data()); !read) return read;
    NarrowFromF64(tensor.dtype, stored.data(), count, bytes.data());
    return {};
  }
  std::vector<float> values(count);
  if (auto decoded = reader.Decode(first, count, values.data()); !decoded) return decoded;
  NarrowFromF32(tensor.dtype, values.data(), count, bytes.data());
  return {};
}

// Cuts the tensors of a plan into blocks, opening one tensor after the other.
class BlockSource {
 public:
  BlockSource(const Model& model, const std::vector<SafetensorsPlan::Tensor>& tensors)
      : model_(model), tensors_(tensors) {}

  // The next block, or nothing at the end.
  Result<std::unique_ptr<ExportBlock>> Next() {
    while (at_ < tensors_.size() && first_ == tensors_[at_].elements) {
      ++at_;
      first_ = 0;
      reader_.reset();
    }
    if (at_ == tensors_.size()) return nullptr;
    const SafetensorsPlan::Tensor* tensor = &tensors_[at_];
    if (reader_ == nullptr) {
      auto opened = TensorReader::Open(model_, tensor->number);
      if (!opened) return Propagate(opened);
      reader_ = std::make_shared<const TensorReader>(std::move(*opened));
    }
    const uint64_t first = first_, count = std::min(kBlockElements, tensor->elements - first_);
    first_ += count;
    return std::make_unique<ExportBlock>(
        ExportBlock{tensor->offset + first * InfoOf(tensor->dtype).size,
                    [reader = reader_, tensor, first, count](std::vector<std::byte>& bytes) {
                      return DecodeBlock(*reader, *tensor, first, count, bytes);
                    }});
  }

 private:
  const Model& model_;
  const std::vector<SafetensorsPlan::Tensor>& tensors_;
  size_t at_ = 0;
  uint64_t first_ = 0;
  SharedReader reader_;
};

}  // namespace

Result<SafetensorsPlan> SafetensorsPlan::Make(const Model& model, const std::vector<uint32_t>& numbers,
                                              std::optional<DType> dtype, PackedList packed) {
  SafetensorsPlan plan;
  for (uint32_t number : numbers) {
    auto tensor = PlanTensor(model, number, dtype);
    if (!tensor) return Propagate(tensor);
    plan.tensors_.push_back(*tensor);
  }
  plan.packed_ = std::move(packed);
  if (auto placed = plan.Place(model); !placed) return Propagate(placed);
  return plan;
}

Status SafetensorsPlan::Place(const Model& model) {
  std::vector<Entry> entries;
  for (Tensor& tensor : tensors_) {
    const TensorRecord record = model.tensor(tensor.number);
    entries.push_back({std::string(record.name), tensor.dtype, record.shape(), &tensor.offset});
  }
  for (const auto& packed : packed_) packed_offsets_.emplace_back(packed->outputs().size());
  for (size_t i = 0; i < packed_.size(); ++i) {
    for (size_t o = 0; o < packed_[i]->outputs().size(); ++o) {
      const PackedTensor::Output& output = packed_[i]->outputs()[o];
      entries.push_back({output.name, output.dtype, output.shape, &packed_offsets_[i][o]});
    }
  }
  if (auto distinct = CheckNames(model, entries); !distinct) return distinct;
  std::sort(entries.begin(), entries.end(), ComesBefore);
  uint64_t end = 0;
  auto text = PlaceEntries(model, entries, end);
  if (!text) return Propagate(text);
  header_.resize(8);
  Store(reinterpret_cast<std::byte*>(header_.data()), static_cast<uint64_t>(text->size()));
  header_ += *text;
  for (const Entry& entry : entries) *entry.offset += header_.size();
  file_size_ = header_.size() + end;
  std::sort(tensors_.begin(), tensors_.end(), [](const Tensor& a, const Tensor& b) {
    return std::pair(a.offset, a.number) < std::pair(b.offset, b.number);
  });
  return {};
}

Status SafetensorsPlan::Write(const Model& model, OutputFile& out, const ProgressFn& progress) const {
  if (auto put = out.WriteAt(0, AsBytes(header_)); !put) return put;
  uint64_t done = header_.size();
  BlockSource source(model, tensors_);
  if (auto written = WriteBlocks([&] { return source.Next(); }, out, done, file_size_, progress); !written)
    return written;
  for (const Tensor& tensor : tensors_) done += tensor.elements * InfoOf(tensor.dtype).size;
  return WritePacked(model, out, done, progress);
}

Status SafetensorsPlan::WritePacked(const Model& model, OutputFile& out, uint64_t done,
                                    const ProgressFn& progress) const {
  for (size_t i = 0; i < packed_.size(); ++i) {
    const auto reader = TensorReader::Open(model, packed_[i]->number());
    if (!reader) return Propagate(reader);
    const auto put = [&](size_t output, uint64_t offset, ByteSpan bytes) -> Status {
      if (auto written = out.WriteAt(packed_offsets_[i][output] + offset, bytes); !written) return written;
      done += bytes.size();
      return KeepGoing(progress, done, file_size_) ? Status{} : Status(Interrupted());
    };
    if (auto written = packed_[i]->Write(*reader, put); !written) return written;
  }
  return {};
}

}  // namespace ingot

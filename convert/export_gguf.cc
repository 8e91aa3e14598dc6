#include "convert/export_gguf.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "convert/export_stream.h"
#include "convert/gguf/llama_checkpoint.h"
#include "format/text.h"

namespace ingot {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{1} << 21;  // of the new file, about
constexpr std::string_view kPrefix = "gguf.", kFileTypeKey = "general.file_type";
constexpr uint32_t kFileTypeTq1_0 = 36;

// What general.file_type says of a file that is mostly of a type: pairs of their numbers.
constexpr std::array<std::pair<uint32_t, uint32_t>, 20> kFileTypes = {
    {{0, 0},   {1, 1},   {2, 2},   {3, 3},   {6, 8},   {7, 9},   {8, 7},   {10, 10}, {11, 12}, {12, 15},
     {13, 17}, {14, 18}, {20, 25}, {23, 30}, {30, 32}, {34, 36}, {35, 37}, {39, 38}, {40, 39}, {41, 40}}};

// The metadata of the GGUF file that a model came from; empty for any other.
SourceMetadata OwnMetadata(const Index& index) {
  SourceMetadata metadata;
  for (uint32_t i = 0; i < index.count(Table::kMetadata); ++i) {
    const MetadataRecord record = index.metadata(i);
    if (!record.key.starts_with(kPrefix) || record.key.size() == kPrefix.size()) continue;
    metadata.emplace_back(record.key.substr(kPrefix.size()),
                          MetadataValue{static_cast<MetadataType>(record.type),
                                        static_cast<MetadataType>(record.element_type),
                                        {record.value.begin(), record.value.end()}});
  }
  return metadata;
}

bool SaysTq1_0(const SourceMetadata& metadata) {
  return std::any_of(metadata.begin(), metadata.end(), [](const auto& pair) {
    const MetadataValue& value = pair.second;
    return pair.first == kFileTypeKey && value.type == MetadataType::kU32 &&
           Load<uint32_t>(value.bytes.data()) == kFileTypeTq1_0;
  });
}

// Where the first plane of a tensor lies: the planes of a converted file follow the order of its source.
std::pair<uint32_t, uint32_t> PlaceOf(const Model& model, uint32_t number) {
  const Index& index = model.container_of(number).index();
  const TensorRecord record = model.tensor(number);
  uint32_t first = kNoRecord;
  for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
    const uint32_t root = index.part(p).encoding;
    for (uint32_t e = root - index.encoding(root).child_count; e <= root; ++e) {
      if (index.encoding(e).plane_count > 0) first = std::min(first, index.encoding(e).first_plane);
    }
  }
  return {model.id(number).container, first};
}

// Cuts the tensors of a plan into blocks, opening one tensor after the other.
class BlockSource {
 public:
  BlockSource(const Model& model, const GgufPlan& plan) : model_(model), plan_(plan) {}

  // The next block, or nothing at the end.
  Result<std::unique_ptr<ExportBlock>> Next() {
    while (at_ < plan_.tensors().size() && done_ == plan_.entries()[at_].size) {
      ++at_;
      done_ = 0;
      tensor_.reset();
    }
    if (at_ == plan_.tensors().size()) return nullptr;
    if (tensor_ == nullptr) {
      auto opened = GgufExportTensor::Open(model_, plan_.tensors()[at_]);
      if (!opened) return Propagate(opened);
      tensor_ = std::move(*opened);
    }
    const GgufEntry& entry = plan_.entries()[at_];
    const uint64_t unit = entry.type->block_bytes, size = std::min(kBlockBytes / unit * unit, entry.size - done_);
    const uint64_t first = done_ / unit;
    auto block = std::make_unique<ExportBlock>(
        ExportBlock{entry.offset + done_, [tensor = tensor_, first, size, unit](std::vector<std::byte>& bytes) {
                      bytes.resize(size);
                      return tensor->Make(first, size / unit, bytes.data());
                    }});
    done_ += size;
    return block;
  }

 private:
  const Model& model_;
  const GgufPlan& plan_;
  size_t at_ = 0;
  uint64_t done_ = 0;  // bytes of the tensor
  std::shared_ptr<const GgufExportTensor> tensor_;
};

}  // namespace

Result<GgufPlan> GgufPlan::Make(const Model& model, const std::vector<uint32_t>& numbers, const GgufOptions& options) {
  GgufPlan plan;
  const std::string& path = model.main().path();
  SourceMetadata metadata = OwnMetadata(model.main().index());
  std::optional<LlamaCheckpoint> llama;
  if (!metadata.empty()) {
    plan.origin_ = Origin::kGguf;
  } else {
    auto read = LlamaCheckpoint::Read(model, options.name);
    if (!read) return Propagate(read);
    llama = std::move(*read);
  }
  GgufPlanOptions tensor_options{options.requantize, llama.has_value(), SaysTq1_0(metadata)};
  std::vector<uint32_t> ordered = numbers;
  std::map<uint32_t, std::pair<uint32_t, uint32_t>> places;
  for (uint32_t number : numbers) places.emplace(number, PlaceOf(model, number));
  std::stable_sort(ordered.begin(), ordered.end(), [&](uint32_t a, uint32_t b) { return places[a] < places[b]; });
  if (llama) {
    plan.origin_ = Origin::kLlama;
    metadata = llama->metadata();
    if (!llama->rope_factors().empty()) {
      plan.tensors_.push_back({GgufWay::kLiteral, FindGgufType(0), 0, 0, llama->rope_factors()});
      plan.entries_.push_back({"rope_freqs.weight", {llama->rope_factors().size()}, FindGgufType(0)});
    }
  }
  for (uint32_t number : ordered) {
    const TensorRecord record = model.tensor(number);
    std::string name(record.name);
    uint64_t head_rows = 0;
    if (llama) {
      auto target = llama->Translate(model, number);
      if (!target) return Propagate(target);
      if (!*target) continue;
      name = std::move((*target)->name);
      head_rows = (*target)->head_rows;
    }
    auto tensor = PlanGgufTensor(model, number, tensor_options);
    if (!tensor) return Propagate(tensor);
    tensor->head_rows = head_rows;
    plan.entries_.push_back({std::move(name), record.shape(), tensor->type});
    plan.tensors_.push_back(std::move(*tensor));
  }
  if (llama) plan.AddFileType(metadata);
  if (plan.origin_ == Origin::kOther) metadata.emplace_back("general.quantization_version", GgufU32(2));
  auto header = BuildGgufHeader(metadata, path, plan.entries_, plan.file_size_);
  if (!header) return Propagate(header);
  plan.header_ = std::move(*header);
  return plan;
}

// general.file_type: that of the type with the most elements in matrices.
void GgufPlan::AddFileType(SourceMetadata& metadata) const {
  std::map<uint32_t, uint64_t> elements;
  for (const GgufEntry& entry : entries_) {
    uint64_t count = 1;
    for (uint64_t dim : entry.shape) count *= dim;
    if (entry.shape.size() > 1) elements[entry.type->id] += count;
  }
  const auto most = std::max_element(elements.begin(), elements.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == elements.end()) return;
  for (const auto& [type, file_type] : kFileTypes) {
    if (type == most->first) metadata.emplace_back(kFileTypeKey, GgufU32(file_type));
  }
}

Status GgufPlan::Write(const Model& model, OutputFile& out, const ProgressFn& progress) const {
  // What lies between the tensors, and after the last one, is zero.
  if (auto sized = out.Truncate(file_size_); !sized) return sized;
  if (auto put = out.WriteAt(0, header_); !put) return put;
  BlockSource source(model, *this);
  return WriteBlocks([&] { return source.Next(); }, out, header_.size(), file_size_, progress);
}

}  // namespace ingot

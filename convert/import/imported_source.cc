#include "convert/import/imported_source.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <tuple>

#include "convert/huggingface.h"
#include "convert/import/importers.h"
#include "format/text.h"

namespace ingot {
namespace {

constexpr std::array kImporters = {
    Importer{"GPTQ", "gptq", ".g_idx", &ImportGptq},
    Importer{"AWQ", "awq", ".qzeros", &ImportAwq},
    Importer{"bitsandbytes", "bitsandbytes", ".SCB .quant_state.bitsandbytes__nf4 .quant_state.bitsandbytes__fp4",
             &ImportBitsAndBytes},
    Importer{"optimum-quanto", "quanto", ".weight._data .weight._data._data", &ImportQuanto},
    Importer{"HQQ", "hqq", ".W_q", &ImportHqq},
    Importer{"compressed-tensors", "compressed-tensors compressed_tensors", ".weight_packed", &ImportCompressedTensors},
    Importer{"FP8", "fp8", ".weight_scale_inv", &ImportFp8},
    Importer{"MXFP4", "mxfp4", "", &ImportMxfp4},
    Importer{"ModelOpt", "modelopt", ".weight_scale_2", &ImportModelOpt},
    Importer{"MLX", "", ".biases", &ImportMlx},
};

class ImportedSource final : public Source {
 public:
  ImportedSource(std::unique_ptr<Source> base, std::string_view system, std::vector<SourceTensor> tensors)
      : base_(std::move(base)), system_(system), tensors_(std::move(tensors)) {}

  std::string_view kind() const override { return base_->kind(); }
  std::string_view quantization() const override { return system_; }
  const std::vector<SourceFile>& files() const override { return base_->files(); }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SourceAttachment>& attachments() const override { return base_->attachments(); }
  const SourceMetadata& metadata() const override { return base_->metadata(); }
  Status Read(uint32_t file, uint64_t offset, std::span<std::byte> out) const override {
    return base_->Read(file, offset, out);
  }

 private:
  std::unique_ptr<Source> base_;
  std::string_view system_;
  std::vector<SourceTensor> tensors_;
};

// Whether one of the words of a list, separated by spaces, fits.
template <typename Fits>
bool AnyWord(std::string_view list, const Fits& fits) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(' '), list.size());
    if (fits(list.substr(0, end))) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

// The system that wrote a checkpoint, by the names of its tensors; nullptr if it is none.
const Importer* FindByMarks(const Checkpoint& checkpoint) {
  for (const Importer& importer : kImporters) {
    for (const SourceTensor& tensor : checkpoint.source().tensors()) {
      if (AnyWord(importer.marks, [&](std::string_view word) { return tensor.name.ends_with(word); })) return &importer;
    }
  }
  return nullptr;
}

// The system that wrote a checkpoint, by what its configuration says, else by the names of tensors; nullptr if it is
// none.
Result<const Importer*> FindImporter(const Checkpoint& checkpoint) {
  const Config& config = checkpoint.quantization();
  auto method = config.Text("quant_method");
  if (!method) return Propagate(method);
  if (*method) {
    std::string name = **method;
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    for (const Importer& importer : kImporters) {
      if (AnyWord(importer.quant_methods, [&](std::string_view word) { return word == name; })) return &importer;
    }
    return Fail(ErrorCode::kBadInput, "{}: quant_method is {}, which cannot be imported", config.what(),
                Quote(**method));
  }
  return FindByMarks(checkpoint);
}

}  // namespace

Result<std::unique_ptr<Source>> ImportQuantized(std::unique_ptr<Source> base) {
  // Their own types say how their tensors are stored, not a config.json beside them.
  if (base->kind() == "gguf" || base->kind() == "ingot") return base;
  // A file that was given by itself may be one of a folder: what lies beside it counts if its tensors ask for it.
  std::vector<SourceAttachment> beside = base->attachments();
  if (beside.empty()) {
    const auto marked = Checkpoint::Make(*base, {});
    if (!marked) return Propagate(marked);
    if (FindByMarks(*marked) == nullptr) return base;
    const std::string& path = base->files().front().path;
    const std::string folder = std::filesystem::path(path).parent_path().string();
    auto found = FindAttachments(folder.empty() ? "." : folder);
    if (!found) return Propagate(found);
    beside = std::move(*found);
  }
  auto configs = CheckpointConfigs::Read(beside);
  if (!configs) return Propagate(configs);
  return ImportQuantized(std::move(base), std::move(*configs));
}

Result<std::unique_ptr<Source>> ImportQuantized(std::unique_ptr<Source> base, CheckpointConfigs configs) {
  const auto checkpoint = Checkpoint::Make(*base, std::move(configs));
  if (!checkpoint) return Propagate(checkpoint);
  const auto importer = FindImporter(*checkpoint);
  if (!importer) return Propagate(importer);
  if (*importer == nullptr) return base;
  Imports imports(*checkpoint);
  if (auto done = (*importer)->import(*checkpoint, imports); !done) return Propagate(done);
  if (imports.tensors().empty()) {
    if (!checkpoint->quantization().Has("quant_method")) return base;  // only the names were like those of the system
    return Fail(ErrorCode::kBadInput,
                "{}: {} says that the weights are quantized by {}, but no tensor of its kind is there",
                checkpoint->path(), checkpoint->quantization().what(), (*importer)->name);
  }
  std::vector<SourceTensor> tensors = imports.tensors();
  for (const SourceTensor& tensor : base->tensors()) {
    if (!imports.IsTaken(tensor)) tensors.push_back(tensor);
  }
  std::sort(tensors.begin(), tensors.end(), [](const SourceTensor& a, const SourceTensor& b) {
    return std::tie(a.file, a.offset, a.name) < std::tie(b.file, b.offset, b.name);
  });
  return std::make_unique<ImportedSource>(std::move(base), (*importer)->name, std::move(tensors));
}

}  // namespace ingot

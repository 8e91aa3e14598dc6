#include "convert/huggingface.h"

#include <fcntl.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>

#include "convert/detect.h"
#include "convert/safetensors.h"
#include "convert/shard_index.h"
#include "format/text.h"
#include "runtime/file.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

using Layout = CheckpointPath::Layout;

// In the order in which they are tried.
struct LayoutRow {
  std::string_view file;
  Layout layout;
};
constexpr std::array kLayouts = {
    LayoutRow{"model.safetensors.index.json", Layout::kSafetensorsIndex},
    LayoutRow{"model.safetensors", Layout::kFile},
    LayoutRow{"pytorch_model.bin.index.json", Layout::kPyTorchIndex},
    LayoutRow{"pytorch_model.bin", Layout::kFile},
    LayoutRow{"qmodel.pt", Layout::kFile},  // HQQ
};

constexpr std::array<std::string_view, 6> kCheckpointExtensions = {".safetensors", ".bin",  ".pt",
                                                                   ".pth",         ".gguf", ".ingot"};

constexpr std::array<std::string_view, 18> kAttachmentNames = {
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "quant_config.json",
    "quantization_map.json",
    "quantize_config.json",
    "quanto_qmap.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
};
static_assert(std::is_sorted(kAttachmentNames.begin(), kAttachmentNames.end()));

std::string Join(const std::string& directory, std::string_view name) { return (fs::path(directory) / name).string(); }

// Whether a regular file (or a link to one) is there. A link that leads nowhere is an error rather than a missing file:
// it is what an interrupted download leaves.
Result<bool> IsFile(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    if (fs::is_symlink(fs::symlink_status(path, error))) {
      return Fail(ErrorCode::kIo, "{}: a link to a file that does not exist", path);
    }
    return false;
  }
  if (error) return Fail(ErrorCode::kIo, "{}: cannot open: {}", path, error.message());
  return status.type() == fs::file_type::regular;
}

// The names of all regular files of a directory, sorted.
Result<std::vector<std::string>> ListFiles(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;  // an entry that cannot be examined is no candidate
    if (it->is_regular_file(ignored)) names.push_back(it->path().filename().string());
  }
  if (error) return Fail(ErrorCode::kIo, "{}: cannot read the directory: {}", directory, error.message());
  std::sort(names.begin(), names.end());
  return names;
}

std::string ListForMessage(const std::vector<std::string>& names) {
  constexpr size_t kMost = 10;
  std::vector<std::string> quoted;
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) quoted.push_back(Quote(names[i]));
  if (names.size() > kMost) quoted.push_back(fmt::format("and {} more", names.size() - kMost));
  return fmt::format("{}", fmt::join(quoted, ", "));
}

// A directory without one of the usual names: the only file that is a checkpoint, by extension first and then by
// content.
Result<CheckpointPath> FindOnlyCheckpoint(const std::string& directory) {
  const auto names = ListFiles(directory);
  if (!names) return Propagate(names);
  std::vector<std::string> candidates;
  for (const std::string& name : *names) {
    const std::string extension = fs::path(name).extension().string();
    if (std::find(kCheckpointExtensions.begin(), kCheckpointExtensions.end(), extension) !=
        kCheckpointExtensions.end()) {
      candidates.push_back(name);
    }
  }
  if (candidates.size() > 1) {
    std::vector<std::string> by_content;
    for (const std::string& name : candidates) {
      const auto file = File::OpenForReading(Join(directory, name));
      if (!file) return Propagate(file);
      const auto kind = DetectKind(SourceOf(*file));
      if (!kind) return Propagate(kind);
      if (IsCheckpoint(*kind)) by_content.push_back(name);
    }
    candidates = std::move(by_content);
  }
  if (candidates.size() == 1) return CheckpointPath{Layout::kFile, Join(directory, candidates[0])};
  if (candidates.size() > 1) {
    return Fail(ErrorCode::kBadInput, "{}: several checkpoint files, name one of them: {}", directory,
                ListForMessage(candidates));
  }
  return Fail(ErrorCode::kBadInput, "{}: no checkpoint in this directory; it holds {}", directory,
              names->empty() ? "no files" : ListForMessage(*names));
}

// One safetensors file, or several.
class SafetensorsSource final : public Source {
 public:
  explicit SafetensorsSource(std::vector<SourceAttachment> attachments) : attachments_(std::move(attachments)) {}

  std::string_view kind() const override { return "safetensors"; }
  const std::vector<SourceFile>& files() const override { return files_; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SourceAttachment>& attachments() const override { return attachments_; }
  const SourceMetadata& metadata() const override { return metadata_; }

  Status Read(uint32_t file, uint64_t offset, std::span<std::byte> out) const override {
    if (file >= handles_.size()) return Fail(ErrorCode::kUsage, "no file {} in this source", file);
    // The kernel is asked for what lies ahead, so that the disk works while the threads compute. Nothing happens if it
    // is in the page cache already.
    constexpr uint64_t kAhead = 16 << 20;
    posix_fadvise(handles_[file].descriptor(), static_cast<off_t>(offset + kAhead), static_cast<off_t>(out.size()),
                  POSIX_FADV_WILLNEED);
    return handles_[file].ReadAt(offset, out);
  }

  // Opens a file, reads its header and appends its tensors.
  Status AddFile(const std::string& path) {
    auto file = File::OpenForReading(path);
    if (!file) return Propagate(file);
    auto header = ReadSafetensorsHeader(SourceOf(*file), path);
    if (!header) return Propagate(header);
    const auto number = static_cast<uint32_t>(files_.size());
    for (SourceTensor& tensor : header->tensors) {
      tensor.file = number;
      tensors_.push_back(std::move(tensor));
    }
    AddMetadata(header->metadata);
    files_.push_back({fs::path(path).filename().string(), path, file->size()});
    file->ExpectSequentialReads();  // tensors are read in the order of their offsets
    handles_.push_back(std::move(*file));
    return {};
  }

  // Adds what is not there yet: where files disagree about a key, the first one counts.
  void AddMetadata(const std::vector<std::pair<std::string, std::string>>& pairs) {
    std::map<std::string, MetadataValue> merged(metadata_.begin(), metadata_.end());
    for (const auto& [key, value] : pairs) merged.emplace(key, MetadataValue::String(value));
    metadata_.assign(merged.begin(), merged.end());
  }

  // Every tensor of the index is in the shard that it names, and every tensor of a shard is in the index, for that
  // shard.
  Status CheckAgainst(const ShardIndex& index, const std::string& what) const {
    constexpr uint32_t kNowhere = UINT32_MAX;
    std::vector<uint32_t> found_in(index.weight_map.size(), kNowhere);
    for (const SourceTensor& tensor : tensors_) {
      const auto entry =
          std::lower_bound(index.weight_map.begin(), index.weight_map.end(), tensor.name,
                           [](const ShardIndex::Entry& a, const std::string& b) { return a.tensor < b; });
      if (entry == index.weight_map.end() || entry->tensor != tensor.name) {
        return Fail(ErrorCode::kBadInput, "{}: tensor {} is in shard {}, but not in weight_map", what,
                    Quote(tensor.name), Quote(index.shards[tensor.file]));
      }
      uint32_t& place = found_in[static_cast<size_t>(entry - index.weight_map.begin())];
      if (place != kNowhere) {
        return Fail(ErrorCode::kBadInput, "{}: tensor {} is in two shards, {} and {}", what, Quote(tensor.name),
                    Quote(index.shards[place]), Quote(index.shards[tensor.file]));
      }
      place = tensor.file;
    }
    for (size_t i = 0; i < found_in.size(); ++i) {
      const ShardIndex::Entry& entry = index.weight_map[i];
      const std::string tensor = Quote(entry.tensor), named = Quote(index.shards[entry.shard]);
      if (found_in[i] == kNowhere) {
        return Fail(ErrorCode::kBadInput, "{}: tensor {} is not in shard {}, which weight_map names for it", what,
                    tensor, named);
      }
      if (found_in[i] != entry.shard) {
        return Fail(ErrorCode::kBadInput, "{}: tensor {} is in shard {}, weight_map names shard {}", what, tensor,
                    Quote(index.shards[found_in[i]]), named);
      }
    }
    return {};
  }

 private:
  std::vector<File> handles_;
  std::vector<SourceFile> files_;
  std::vector<SourceTensor> tensors_;
  std::vector<SourceAttachment> attachments_;
  SourceMetadata metadata_;
};

}  // namespace

Result<CheckpointPath> FindCheckpoint(const std::string& directory) {
  for (const LayoutRow& row : kLayouts) {
    std::string path = Join(directory, row.file);
    const auto there = IsFile(path);
    if (!there) return Propagate(there);
    if (*there) return CheckpointPath{row.layout, std::move(path)};
  }
  return FindOnlyCheckpoint(directory);
}

Result<std::vector<SourceAttachment>> FindAttachments(const std::string& directory) {
  std::vector<SourceAttachment> found;
  for (std::string_view name : kAttachmentNames) {
    std::string path = Join(directory, name);
    const auto there = IsFile(path);
    if (!there) return Propagate(there);
    if (*there) found.push_back({std::string(name), std::move(path)});
  }
  return found;
}

Result<std::unique_ptr<Source>> OpenSafetensorsFile(const std::string& path,
                                                    std::vector<SourceAttachment> attachments) {
  auto source = std::make_unique<SafetensorsSource>(std::move(attachments));
  if (auto added = source->AddFile(path); !added) return Propagate(added);
  return source;
}

Result<std::unique_ptr<Source>> OpenSafetensorsIndex(const std::string& path,
                                                     std::vector<SourceAttachment> attachments) {
  const auto file = File::OpenForReading(path);
  if (!file) return Propagate(file);
  const auto index = ReadShardIndex(SourceOf(*file), path);
  if (!index) return Propagate(index);
  auto source = std::make_unique<SafetensorsSource>(std::move(attachments));
  source->AddMetadata(index->metadata);
  const std::string directory = fs::path(path).parent_path().string();
  for (const std::string& shard : index->shards) {
    if (auto added = source->AddFile(Join(directory, shard)); !added) {
      return Fail(added.error().code, "{}: shard {}: {}", path, Quote(shard), added.error().message);
    }
  }
  if (auto agrees = source->CheckAgainst(*index, path); !agrees) return Propagate(agrees);
  return source;
}

}  // namespace ingot

#include "convert/huggingface.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "convert/detect.h"
#include "convert/file_source.h"
#include "convert/safetensors.h"
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

Result<FileContents> ReadSafetensors(const ByteSource& source, const std::string& what) {
  auto header = ReadSafetensorsHeader(source, what);
  if (!header) return Propagate(header);
  FileContents contents;
  contents.tensors = std::move(header->tensors);
  for (const auto& [key, value] : header->metadata) contents.metadata.emplace_back(key, MetadataValue::String(value));
  return contents;
}

constexpr FileFormat kSafetensors = {"safetensors", &ReadSafetensors};

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
  return OpenFileSource(kSafetensors, path, std::move(attachments));
}

Result<std::unique_ptr<Source>> OpenSafetensorsIndex(const std::string& path,
                                                     std::vector<SourceAttachment> attachments) {
  return OpenShardedSource(kSafetensors, path, std::move(attachments));
}

}  // namespace ingot

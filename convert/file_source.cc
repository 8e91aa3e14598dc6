#include "convert/file_source.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "convert/shard_index.h"
#include "format/text.h"
#include "runtime/file.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

// One file, or several.
class FileSource final : public Source {
 public:
  FileSource(const FileFormat& format, std::vector<SourceAttachment> attachments)
      : format_(format), attachments_(std::move(attachments)) {}

  std::string_view kind() const override { return format_.kind; }
  const std::vector<SourceFile>& files() const override { return files_; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SourceAttachment>& attachments() const override { return attachments_; }
  const SourceMetadata& metadata() const override { return metadata_; }

  Status Read(uint32_t file, uint64_t offset, std::span<std::byte> out) const override {
    if (file >= handles_.size()) return Fail(ErrorCode::kUsage, "no file {} in this source", file);
    // The kernel is asked for what lies ahead, so that the disk works while the threads compute. Nothing happens if it
    // is in the page cache already. Small reads are the pieces of a tensor with strides, in an order of their own.
    constexpr uint64_t kAhead = 16 << 20, kLeast = 4096;
    if (out.size() >= kLeast) {
      posix_fadvise(handles_[file].descriptor(), static_cast<off_t>(offset + kAhead), static_cast<off_t>(out.size()),
                    POSIX_FADV_WILLNEED);
    }
    return handles_[file].ReadAt(offset, out);
  }

  // Opens a file, reads what it holds and appends its tensors.
  Status AddFile(const std::string& path) {
    auto file = File::OpenForReading(path);
    if (!file) return Propagate(file);
    auto contents = format_.read(SourceOf(*file), path);
    if (!contents) return Propagate(contents);
    const auto number = static_cast<uint32_t>(files_.size());
    for (SourceTensor& tensor : contents->tensors) {
      tensor.file = number;
      tensors_.push_back(std::move(tensor));
    }
    AddMetadata(std::move(contents->metadata));
    files_.push_back({fs::path(path).filename().string(), path, file->size()});
    file->ExpectSequentialReads();  // tensors are read in the order of their offsets
    handles_.push_back(std::move(*file));
    return {};
  }

  // Adds what is not there yet: where files disagree about a key, the first one counts.
  void AddMetadata(SourceMetadata pairs) {
    std::map<std::string, MetadataValue> merged(metadata_.begin(), metadata_.end());
    for (auto& [key, value] : pairs) merged.emplace(std::move(key), std::move(value));
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
  const FileFormat& format_;
  std::vector<File> handles_;
  std::vector<SourceFile> files_;
  std::vector<SourceTensor> tensors_;
  std::vector<SourceAttachment> attachments_;
  SourceMetadata metadata_;
};

}  // namespace

Result<std::unique_ptr<Source>> OpenFileSource(const FileFormat& format, const std::string& path,
                                               std::vector<SourceAttachment> attachments) {
  auto source = std::make_unique<FileSource>(format, std::move(attachments));
  if (auto added = source->AddFile(path); !added) return Propagate(added);
  return source;
}

Result<std::unique_ptr<Source>> OpenShardedSource(const FileFormat& format, const std::string& index_path,
                                                  std::vector<SourceAttachment> attachments) {
  const auto file = File::OpenForReading(index_path);
  if (!file) return Propagate(file);
  auto index = ReadShardIndex(SourceOf(*file), index_path);
  if (!index) return Propagate(index);
  auto source = std::make_unique<FileSource>(format, std::move(attachments));
  SourceMetadata metadata;
  for (const auto& [key, value] : index->metadata) metadata.emplace_back(key, MetadataValue::String(value));
  source->AddMetadata(std::move(metadata));
  const fs::path directory = fs::path(index_path).parent_path();
  for (const std::string& shard : index->shards) {
    if (auto added = source->AddFile((directory / shard).string()); !added) {
      return Fail(added.error().code, "{}: shard {}: {}", index_path, Quote(shard), added.error().message);
    }
  }
  if (auto agrees = source->CheckAgainst(*index, index_path); !agrees) return Propagate(agrees);
  return source;
}

}  // namespace ingot

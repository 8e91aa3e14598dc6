#include "convert/gguf/gguf_source.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>

#include "convert/gguf/gguf_header.h"
#include "convert/gguf/gguf_tensor.h"
#include "convert/safetensors.h"
#include "format/text.h"
#include "runtime/file.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSplitNumber = "split.no", kSplitCount = "split.count",
                           kSplitTensors = "split.tensors.count";

// A whole number of the metadata: nothing if the key is not there, kBadInput if it is of another type.
Result<std::optional<uint64_t>> FindNumber(const GgufHeader& header, std::string_view key, const std::string& what) {
  const MetadataValue* value = header.Find(key);
  if (value == nullptr) return std::nullopt;
  const std::byte* at = value->bytes.data();
  switch (value->type) {
    case MetadataType::kU8:
      return Load<uint8_t>(at);
    case MetadataType::kU16:
      return Load<uint16_t>(at);
    case MetadataType::kU32:
      return Load<uint32_t>(at);
    case MetadataType::kU64:
      return Load<uint64_t>(at);
    case MetadataType::kI32:
      if (Load<int32_t>(at) >= 0) return static_cast<uint64_t>(Load<int32_t>(at));
      break;
    default:
      break;
  }
  return Fail(ErrorCode::kBadInput, "{}: {} is not a whole number of 0 or more", what, key);
}

// "-00002-of-00003.gguf"
std::string SplitSuffix(uint64_t number, uint64_t count) { return fmt::format("-{:05}-of-{:05}.gguf", number, count); }

class GgufSource final : public Source {
 public:
  explicit GgufSource(std::vector<SourceAttachment> attachments) : attachments_(std::move(attachments)) {}

  std::string_view kind() const override { return "gguf"; }
  const std::vector<SourceFile>& files() const override { return files_; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SourceAttachment>& attachments() const override { return attachments_; }
  const SourceMetadata& metadata() const override { return metadata_; }

  Status Read(uint32_t file, uint64_t offset, std::span<std::byte> out) const override {
    if (file >= handles_.size()) return Fail(ErrorCode::kUsage, "no file {} in this source", file);
    // The kernel is asked for what lies ahead, so that the disk works while the threads compute.
    constexpr uint64_t kAhead = 16 << 20;
    posix_fadvise(handles_[file].descriptor(), static_cast<off_t>(offset + kAhead), static_cast<off_t>(out.size()),
                  POSIX_FADV_WILLNEED);
    return handles_[file].ReadAt(offset, out);
  }

  // The file at `path`, with all splits if it is the first of several.
  Status Open(const std::string& path) {
    auto header = AddFile(path);
    if (!header) return Propagate(header);
    const auto count = FindNumber(*header, kSplitCount, path);
    if (!count) return Propagate(count);
    if (count->value_or(0) > 1) return OpenSplits(path, *header, **count);
    metadata_ = std::move(header->metadata);
    return {};
  }

 private:
  Result<GgufHeader> AddFile(const std::string& path) {
    auto file = File::OpenForReading(path);
    if (!file) return Propagate(file);
    auto header = ReadGgufHeader(SourceOf(*file), path);
    if (!header) return Propagate(header);
    const auto number = static_cast<uint32_t>(files_.size());
    for (const GgufTensorInfo& info : header->tensors) {
      const bool encoded = info.type->import != GgufImport::kRaw && info.size != 0;
      tensors_.push_back({info.name, info.type->dtype, info.shape, number, info.offset, info.size,
                          encoded ? std::make_shared<const GgufTensor>(*this, number, info) : nullptr});
    }
    files_.push_back({fs::path(path).filename().string(), path, file->size()});
    file->ExpectSequentialReads();
    handles_.push_back(std::move(*file));
    return header;
  }

  Status OpenSplits(const std::string& path, const GgufHeader& first, uint64_t count) {
    if (auto fits = CheckSplit(path, first, 0, count); !fits) return fits;
    const std::string suffix = SplitSuffix(1, count);
    if (!path.ends_with(suffix)) {
      return Fail(ErrorCode::kBadInput,
                  "{}: the first of {} splits, but its name does not end in {}: the others cannot be found", path,
                  count, suffix);
    }
    const std::string stem = path.substr(0, path.size() - suffix.size());
    std::map<std::string, MetadataValue> merged(first.metadata.begin(), first.metadata.end());
    for (uint64_t i = 1; i < count; ++i) {
      const std::string split = stem + SplitSuffix(i + 1, count);
      auto header = AddFile(split);
      if (!header)
        return Fail(header.error().code, "{}: split {} of {}: {}", path, i + 1, count, header.error().message);
      if (auto fits = CheckSplit(split, *header, i, count); !fits) return fits;
      for (auto& [key, value] : header->metadata) merged.emplace(key, std::move(value));
    }
    // What is converted is the whole.
    for (std::string_view key : {kSplitNumber, kSplitCount, kSplitTensors}) merged.erase(std::string(key));
    metadata_.assign(merged.begin(), merged.end());
    return CheckSplitTensors(path, first);
  }

  // Whether a file is split `number` (from 0 on) of `count`.
  Status CheckSplit(const std::string& path, const GgufHeader& header, uint64_t number, uint64_t count) const {
    const auto own_number = FindNumber(header, kSplitNumber, path), own_count = FindNumber(header, kSplitCount, path);
    if (!own_number) return Propagate(own_number);
    if (!own_count) return Propagate(own_count);
    if (*own_count != count) {
      return Fail(ErrorCode::kBadInput, "{}: {} is {}, expected {}", path, kSplitCount,
                  *own_count ? fmt::format("{}", **own_count) : "missing", count);
    }
    if (*own_number == number) return {};
    if (number == 0 && *own_number) {
      return Fail(ErrorCode::kBadInput, "{}: split {} of {}; name the first one, which ends in {}", path,
                  **own_number + 1, count, SplitSuffix(1, count));
    }
    return Fail(ErrorCode::kBadInput, "{}: {} is {}, expected {}", path, kSplitNumber,
                *own_number ? fmt::format("{}", **own_number) : "missing", number);
  }

  // All tensors are there, once.
  Status CheckSplitTensors(const std::string& path, const GgufHeader& first) const {
    const auto expected = FindNumber(first, kSplitTensors, path);
    if (!expected) return Propagate(expected);
    if (*expected && **expected != tensors_.size()) {
      return Fail(ErrorCode::kBadInput, "{}: {} is {}, but the splits have {} tensors", path, kSplitTensors, **expected,
                  tensors_.size());
    }
    if (tensors_.size() > kMaxTensors)
      return Fail(ErrorCode::kBadInput, "{}: more than {} tensors are not supported", path, kMaxTensors);
    std::map<std::string_view, uint32_t> files;
    for (const SourceTensor& tensor : tensors_) {
      const auto [at, added] = files.emplace(tensor.name, tensor.file);
      if (added) continue;
      return Fail(ErrorCode::kBadInput, "{}: tensor {} is in two splits, {} and {}", path, Quote(tensor.name),
                  Quote(files_[at->second].name), Quote(files_[tensor.file].name));
    }
    return {};
  }

  std::vector<File> handles_;
  std::vector<SourceFile> files_;
  std::vector<SourceTensor> tensors_;
  std::vector<SourceAttachment> attachments_;
  SourceMetadata metadata_;
};

}  // namespace

Result<std::unique_ptr<Source>> OpenGgufFile(const std::string& path, std::vector<SourceAttachment> attachments) {
  auto source = std::make_unique<GgufSource>(std::move(attachments));
  if (auto opened = source->Open(path); !opened) return Propagate(opened);
  return source;
}

}  // namespace ingot

#include "convert/ingot/ingot_source.h"

#include <algorithm>
#include <filesystem>
#include <tuple>

#include "convert/ingot/ingot_tensor.h"
#include "convert/io_bytes.h"
#include "format/text.h"

namespace ingot {
namespace {

class IngotSource final : public Source {
 public:
  explicit IngotSource(const std::shared_ptr<const Model>& model) : model_(model) {
    for (const auto& container : model->containers()) {
      const std::string& path = container->path();
      files_.push_back({std::filesystem::path(path).filename().string(), path, container->file().size()});
    }
    AddTensors();
    AddRecords(model->main().index());
  }

  std::string_view kind() const override { return "ingot"; }
  const std::vector<SourceFile>& files() const override { return files_; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SourceAttachment>& attachments() const override { return attachments_; }
  const SourceMetadata& metadata() const override { return metadata_; }
  std::string metadata_prefix() const override { return {}; }
  std::optional<std::vector<SourceOrigin>> origins() const override { return origins_; }
  bool has_sha256() const override { return model_->main().index().count(Table::kSha256) != 0; }

  Status Read(uint32_t file, uint64_t offset, std::span<std::byte> out) const override {
    return model_->containers()[file]->file().ReadAt(offset, out);
  }

  Result<ByteSource> OpenAttachment(size_t i) const override {
    const uint32_t number = model_->main().index().attachment(static_cast<uint32_t>(i)).plane;
    if (number == kNoRecord) return ByteSource{0, [](uint64_t, std::span<std::byte>) -> Status { return {}; }};
    const std::shared_ptr<const Container> container = model_->containers().front();
    const uint64_t size = container->index().plane(number).size;
    return ByteSource{size, [container, number](uint64_t offset, std::span<std::byte> out) -> Status {
                        const PlaneRecord plane = container->index().plane(number);
                        FrameDecoder decoder;
                        IoBytes chunk;
                        while (!out.empty()) {
                          const uint64_t at = offset / kChunkSize, skipped = offset % kChunkSize;
                          chunk.resize(plane.chunk_size(at));
                          if (auto read = container->ReadChunk(number, at, decoder, chunk); !read) return read;
                          const uint64_t piece = std::min<uint64_t>(out.size(), chunk.size() - skipped);
                          std::copy_n(chunk.begin() + static_cast<ptrdiff_t>(skipped), piece, out.begin());
                          out = out.subspan(piece);
                          offset += piece;
                        }
                        return {};
                      }};
  }

 private:
  void AddTensors() {
    const auto readers = std::make_shared<ReaderCache>(model_);
    for (uint32_t i = 0; i < model_->tensor_count(); ++i) {
      const TensorRecord record = model_->tensor(i);
      const Index& index = model_->container_of(i).index();
      tensors_.push_back({std::string(record.name), static_cast<DType>(record.dtype), record.shape(),
                          model_->id(i).container, FirstOffset(index, record), PlaneBytesOf(index, record),
                          std::make_shared<const IngotTensor>(readers, i)});
    }
    std::sort(tensors_.begin(), tensors_.end(), [](const SourceTensor& a, const SourceTensor& b) {
      return std::tie(a.file, a.offset, a.name) < std::tie(b.file, b.offset, b.name);
    });
  }

  // Where its first plane lies; 0 if it has none.
  static uint64_t FirstOffset(const Index& index, const TensorRecord& record) {
    uint64_t first = UINT64_MAX;
    for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
      const uint32_t root = index.part(p).encoding;
      for (uint32_t n = root - index.encoding(root).child_count; n <= root; ++n) {
        const EncodingRecord e = index.encoding(n);
        for (uint32_t i = 0; i < e.plane_count; ++i) first = std::min(first, index.plane(e.first_plane + i).offset);
      }
    }
    return first == UINT64_MAX ? 0 : first;
  }

  void AddRecords(const Index& index) {
    for (uint32_t i = 0; i < index.count(Table::kMetadata); ++i) {
      const MetadataRecord m = index.metadata(i);
      if (m.key == "ingot.generator") continue;  // that of the new file is another
      metadata_.emplace_back(std::string(m.key), MetadataValue{static_cast<MetadataType>(m.type),
                                                               static_cast<MetadataType>(m.element_type),
                                                               {m.value.begin(), m.value.end()}});
    }
    for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i)
      attachments_.push_back({std::string(index.attachment(i).name), ""});
    for (uint32_t i = 0; i < index.count(Table::kSources); ++i) {
      const SourceRecord s = index.source(i);
      origins_.push_back({std::string(s.name), s.size, s.hash, {}});
      if (has_sha256()) origins_.back().sha256 = index.sha256(index.plane_count() + i);
    }
  }

  std::shared_ptr<const Model> model_;
  std::vector<SourceFile> files_;
  std::vector<SourceTensor> tensors_;
  std::vector<SourceAttachment> attachments_;
  SourceMetadata metadata_;
  std::vector<SourceOrigin> origins_;
};

}  // namespace

Result<std::unique_ptr<Source>> OpenIngotFile(const std::string& path, std::vector<SourceAttachment> /*attachments*/) {
  auto model = Model::Open(path);
  if (!model) return Propagate(model);
  for (const auto& container : (*model)->containers()) {
    const Header& h = container->header();
    if (!h.newer_minor()) continue;
    return Fail(ErrorCode::kBadInput,
                "{}: version {}.{} is newer than this program's {}.{}, which would drop what it does not know",
                container->path(), h.major, h.minor, kMajor, kMinor);
  }
  return std::make_unique<IngotSource>(*model);
}

}  // namespace ingot

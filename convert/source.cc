#include "convert/source.h"

#include <array>
#include <filesystem>

#include "convert/detect.h"
#include "convert/encoded_tensor.h"
#include "convert/gguf/gguf_source.h"
#include "convert/huggingface.h"
#include "convert/import/imported_source.h"
#include "convert/ingot/ingot_source.h"
#include "convert/pytorch/pytorch_source.h"
#include "convert/strided.h"
#include "kernels/widen.h"
#include "runtime/file.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;

using Opener = Result<std::unique_ptr<Source>> (*)(const std::string& path, std::vector<SourceAttachment> attachments);

// What is done with a file of each kind: opened, or refused with a reason.
struct KindRow {
  FileKind kind;
  Opener open;
  std::string_view refusal;
};
constexpr std::array kKinds = {
    KindRow{FileKind::kSafetensors, &OpenSafetensorsFile, ""},
    KindRow{FileKind::kIngot, &OpenIngotFile, ""},
    KindRow{FileKind::kGguf, &OpenGgufFile, ""},
    KindRow{FileKind::kZip, &OpenPyTorchFile, ""},
    KindRow{FileKind::kPickle, &OpenPyTorchFile, ""},
    KindRow{FileKind::kTar, nullptr, "PyTorch checkpoints from before torch 0.2 are not read"},
    KindRow{FileKind::kGitLfsPointer, nullptr, "the file itself was not downloaded (git lfs pull fetches it)"},
    KindRow{FileKind::kJson, nullptr, "give the checkpoint itself, or the directory that holds it"},
};

Result<std::unique_ptr<Source>> OpenFile(const std::string& path, std::vector<SourceAttachment> attachments) {
  const auto file = File::OpenForReading(path);
  if (!file) return Propagate(file);
  const auto kind = DetectKind(SourceOf(*file));
  if (!kind) return Propagate(kind);
  for (const KindRow& row : kKinds) {
    if (row.kind != *kind) continue;
    if (row.open != nullptr) return row.open(path, std::move(attachments));
    return Fail(ErrorCode::kBadInput, "{}: a {}: {}", path, NameOf(*kind), row.refusal);
  }
  if (*kind == FileKind::kEmpty) return Fail(ErrorCode::kBadInput, "{}: an empty file, not a checkpoint", path);
  return Fail(ErrorCode::kBadInput,
              "{}: not a checkpoint: neither a safetensors, GGUF, PyTorch nor Ingot file by its first bytes", path);
}

Result<std::unique_ptr<Source>> OpenDirectory(const std::string& path) {
  const auto checkpoint = FindCheckpoint(path);
  if (!checkpoint) return Propagate(checkpoint);
  auto attachments = FindAttachments(path);
  if (!attachments) return Propagate(attachments);
  switch (checkpoint->layout) {
    case CheckpointPath::Layout::kSafetensorsIndex:
      return OpenSafetensorsIndex(checkpoint->path, std::move(*attachments));
    case CheckpointPath::Layout::kPyTorchIndex:
      return OpenPyTorchIndex(checkpoint->path, std::move(*attachments));
    case CheckpointPath::Layout::kFile:
      break;
  }
  return OpenFile(checkpoint->path, std::move(*attachments));
}

}  // namespace

Result<ByteSource> Source::OpenAttachment(size_t i) const {
  auto file = File::OpenForReading(attachments()[i].path);
  if (!file) return Propagate(file);
  const auto shared = std::make_shared<const File>(std::move(*file));
  return ByteSource{shared->size(),
                    [shared](uint64_t offset, std::span<std::byte> out) { return shared->ReadAt(offset, out); }};
}

uint64_t MatrixCols(const SourceTensor& tensor) { return tensor.shape.empty() ? 1 : tensor.shape.back(); }

uint64_t MatrixRows(const SourceTensor& tensor) {
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  return rows;
}

Status ReadElements(const Source& source, const SourceTensor& tensor, uint64_t first, uint64_t count,
                    std::span<std::byte> out) {
  if (tensor.encoded == nullptr && !tensor.strides.empty()) return ReadStrided(source, tensor, first, count, out);
  if (tensor.encoded != nullptr && !tensor.encoded->is_quantized())
    return tensor.encoded->ReadRaw(first, count, out.data());
  if (tensor.encoded == nullptr)
    return source.Read(tensor.file, tensor.offset + first * InfoOf(tensor.dtype).size, out);
  std::vector<float> values(count);
  if (auto decoded = tensor.encoded->Decode(first, count, values.data()); !decoded) return decoded;
  NarrowFromF32(tensor.dtype, values.data(), count, out.data());
  return {};
}

Result<std::unique_ptr<Source>> OpenSource(const std::string& path) {
  std::error_code error;
  auto source = fs::is_directory(fs::status(path, error)) ? OpenDirectory(path) : OpenFile(path, {});
  if (!source) return source;
  return ImportQuantized(std::move(*source));
}

}  // namespace ingot

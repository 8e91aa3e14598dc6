#include "convert/pytorch/pytorch_source.h"

#include "convert/file_source.h"
#include "convert/pytorch/pytorch_file.h"

namespace ingot {
namespace {

constexpr FileFormat kPyTorch = {"pytorch", &ReadPyTorchFile};

}  // namespace

Result<std::unique_ptr<Source>> OpenPyTorchFile(const std::string& path, std::vector<SourceAttachment> attachments) {
  return OpenFileSource(kPyTorch, path, std::move(attachments));
}

Result<std::unique_ptr<Source>> OpenPyTorchIndex(const std::string& path, std::vector<SourceAttachment> attachments) {
  return OpenShardedSource(kPyTorch, path, std::move(attachments));
}

}  // namespace ingot

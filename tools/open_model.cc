#include "tools/open_model.h"

#include "convert/detect.h"

namespace ingot {

Result<std::shared_ptr<const Model>> OpenModel(const std::string& path) {
  auto model = Model::Open(path);
  if (model || model.error().code != ErrorCode::kBadInput) return model;
  const auto file = File::OpenForReading(path);
  if (!file) return model;
  const auto kind = DetectKind(SourceOf(*file));
  if (!kind || *kind == FileKind::kUnknown || *kind == FileKind::kIngot || *kind == FileKind::kEmpty) return model;
  return Fail(ErrorCode::kBadInput, "{}: not an Ingot file but a {}", path, NameOf(*kind));
}

}  // namespace ingot

#include "runtime/model.h"

#include <algorithm>

#include "format/encoding.h"

namespace ingot {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

Result<std::shared_ptr<const Model>> Model::Open(const std::string& path) {
  auto file = Container::Open(path);
  if (!file) return Propagate(file);
  std::shared_ptr<Model> model(new Model());
  model->containers_.push_back(std::move(*file));
  if (auto shards = model->OpenShards(); !shards) return Propagate(shards);
  return model;
}

Status Model::OpenShards() {
  const Index& index = main().index();
  const uint32_t count = static_cast<uint32_t>(index.count(Table::kShards));
  if (count == 0) return {};
  const std::string folder = FolderOf(main().path());
  for (uint32_t i = 0; i < count; ++i) {
    const ShardRecord record = index.shard(i);
    const std::string path = folder + std::string(record.name);
    const auto refuse = [&](std::string_view rule, const std::string& text) {
      return Fail(ErrorCode::kBadInput, "{}: {}: shard '{}': {}", main().path(), rule, Escape(record.name), text);
    };
    auto shard = Container::Open(path);
    if (!shard) return refuse("R-SHD-4", shard.error().message);
    if ((*shard)->index().count(Table::kShards) != 0) return refuse("R-SHD-4", "it has shards itself");
    const auto [names, content] = Digests((*shard)->index());
    if (names != record.names_digest)
      return refuse("R-SHD-5", fmt::format("a foreign file: its tensor names have the digest {}, expected {}",
                                           ToHex(names), ToHex(record.names_digest)));
    if (content != record.content_digest)
      return refuse("R-SHD-6", fmt::format("a stale file: its content digest is {}, expected {}", ToHex(content),
                                           ToHex(record.content_digest)));
    containers_.push_back(std::move(*shard));
  }
  return Merge();
}

Status Model::Merge() {
  for (uint32_t c = 0; c < containers_.size(); ++c) {
    for (uint32_t t = 0; t < containers_[c]->index().tensor_count(); ++t) merged_.push_back({c, t});
  }
  const auto name_of = [&](const TensorId& id) { return containers_[id.container]->index().tensor(id.tensor).name; };
  std::sort(merged_.begin(), merged_.end(),
            [&](const TensorId& a, const TensorId& b) { return name_of(a) < name_of(b); });
  const auto twice = std::adjacent_find(merged_.begin(), merged_.end(),
                                        [&](const TensorId& a, const TensorId& b) { return name_of(a) == name_of(b); });
  if (twice == merged_.end()) return {};
  return Fail(ErrorCode::kBadInput, "{}: R-SHD-7: tensor '{}' is in '{}' and in '{}'", main().path(),
              Escape(name_of(*twice)), containers_[twice->container]->path(),
              containers_[(twice + 1)->container]->path());
}

uint32_t Model::tensor_count() const {
  return merged_.empty() ? main().index().tensor_count() : static_cast<uint32_t>(merged_.size());
}

std::optional<uint32_t> Model::Find(std::string_view name) const {
  if (merged_.empty()) return main().index().FindTensor(name);
  const auto at = std::lower_bound(merged_.begin(), merged_.end(), name, [&](const TensorId& id, std::string_view n) {
    return containers_[id.container]->index().tensor(id.tensor).name < n;
  });
  if (at == merged_.end() || containers_[at->container]->index().tensor(at->tensor).name != name) return std::nullopt;
  return static_cast<uint32_t>(at - merged_.begin());
}

Hash128 Model::ContentDigest() const {
  DigestBuilder builder;
  for (uint32_t i = 0; i < tensor_count(); ++i) builder.Add(container_of(i).index(), id(i).tensor);
  return builder.content();
}

namespace {

// The sum of `size_of` over all planes of a tensor's parts and their children.
template <typename SizeOf>
uint64_t SumPlanes(const Index& index, const TensorRecord& tensor, SizeOf&& size_of) {
  uint64_t sum = 0;
  for (uint32_t p = tensor.first_part; p < tensor.first_part + tensor.part_count; ++p) {
    const uint32_t root = index.part(p).encoding;
    for (uint32_t e = root - index.encoding(root).child_count; e <= root; ++e) {
      const EncodingRecord record = index.encoding(e);
      for (uint32_t plane = record.first_plane; plane < record.first_plane + record.plane_count; ++plane)
        sum += size_of(index.plane(plane));
    }
  }
  return sum;
}

}  // namespace

uint64_t PlaneBytesOf(const Index& index, const TensorRecord& tensor) {
  return SumPlanes(index, tensor, [](const PlaneRecord& p) { return p.size; });
}

uint64_t StoredBytesOf(const Index& index, const TensorRecord& tensor) {
  return SumPlanes(index, tensor, [&](const PlaneRecord& p) { return index.stored_size(p); });
}

std::string DescribeEncoding(const Index& index, uint32_t number, uint8_t dtype) {
  const EncodingRecord e = index.encoding(number);
  if (e.is(EncodingKind::kRaw)) return fmt::format("raw {}", InfoOf(static_cast<DType>(dtype)).name);
  if (e.is(EncodingKind::kForeign)) return fmt::format("foreign {}", DecodeForeign(index.payload(e)).name);
  if (!e.is(EncodingKind::kLinear)) return fmt::format("unknown kind {}", e.kind);
  std::vector<Linear> children;
  for (uint32_t c = number - e.child_count; c < number; ++c)
    children.push_back(DecodeLinear(index.payload(index.encoding(c))));
  return "linear " + Describe(DecodeLinear(index.payload(e)), children);
}

std::string DescribeTensor(const Index& index, const TensorRecord& tensor) {
  std::vector<std::string> texts;
  for (uint32_t p = tensor.first_part; p < tensor.first_part + tensor.part_count; ++p) {
    std::string text = DescribeEncoding(index, index.part(p).encoding, tensor.dtype);
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(std::move(text));
  }
  std::string out = tensor.part_count == 1 ? "" : fmt::format("{} parts: ", tensor.part_count);
  for (size_t i = 0; i < texts.size(); ++i) out += (i == 0 ? "" : "; ") + texts[i];
  return out;
}

}  // namespace ingot

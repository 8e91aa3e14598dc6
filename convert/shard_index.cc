#include "convert/shard_index.h"

#include <algorithm>
#include <map>

#include "convert/json_reader.h"
#include "convert/safetensors.h"
#include "format/text.h"

namespace ingot {
namespace {

constexpr uint64_t kMaxShardIndexSize = kMaxSafetensorsHeader;

class IndexHandler final : public JsonHandler {
 public:
  explicit IndexHandler(ShardIndex& index) : index_(index) {}

  Status StartObject() override {
    if (++depth_ == 1 && section_ == Section::kNone) section_ = Section::kTop;
    if (depth_ == 2 && section_ == Section::kWeightMap) map_given_ = true;
    return depth_ > 2 ? RefuseNested("an object") : Status();
  }
  Status EndObject() override {
    --depth_;
    return {};
  }
  Status StartArray() override {
    if (++depth_ == 1) return Fail(ErrorCode::kBadInput, "the index is an array, must be an object");
    if (depth_ == 2 && section_ == Section::kWeightMap) return NotAMap("an array");
    if (depth_ == 2) section_ = Section::kOther;  // metadata that is a list has no keys
    return depth_ > 2 ? RefuseNested("an array") : Status();
  }
  Status EndArray() override {
    --depth_;
    return {};
  }

  Status Key(std::string& key) override {
    if (depth_ == 1) {
      section_ = key == "weight_map" ? Section::kWeightMap : key == "metadata" ? Section::kMetadata : Section::kOther;
    }
    if (depth_ == 2) key_ = std::move(key);
    return {};
  }

  Status Value(JsonValue& value) override {
    if (depth_ == 0) return Fail(ErrorCode::kBadInput, "the index is {}, must be an object", Describe(value));
    if (depth_ == 1 && section_ == Section::kWeightMap) return NotAMap(Describe(value));
    if (depth_ != 2) return {};
    auto* text = std::get_if<std::string>(&value);
    if (section_ == Section::kWeightMap && text == nullptr) return NotAName(Describe(value));
    if (section_ == Section::kWeightMap) return AddTensor(*text);
    // total_size and its like are numbers that writers disagree about; texts are kept.
    if (section_ == Section::kMetadata && text != nullptr) index_.metadata.emplace_back(key_, std::move(*text));
    return {};
  }

  bool map_given() const { return map_given_; }
  const std::map<std::string, uint32_t>& shards() const { return shards_; }

 private:
  enum class Section { kNone, kTop, kWeightMap, kMetadata, kOther };

  static Status NotAMap(std::string_view found) {
    return Fail(ErrorCode::kBadInput, "weight_map is {}, must be an object", found);
  }
  Status NotAName(std::string_view found) const {
    return Fail(ErrorCode::kBadInput, "weight_map: tensor {}: the shard is {}, must be a text", Quote(key_), found);
  }
  Status RefuseNested(std::string_view found) const {
    return section_ == Section::kWeightMap ? NotAName(found) : Status();
  }

  Status AddTensor(const std::string& shard) {
    if (key_.size() > kMaxTensorName) {
      return Fail(ErrorCode::kBadInput, "weight_map: tensor {}: a name of {} bytes, at most {} are supported",
                  Quote(key_, 64), key_.size(), kMaxTensorName);
    }
    if (!IsSafeName(shard, 1)) {
      return Fail(ErrorCode::kBadInput, "weight_map: tensor {}: shard {} is not the name of a file beside the index",
                  Quote(key_), Quote(shard));
    }
    if (index_.weight_map.size() == kMaxTensors) {
      return Fail(ErrorCode::kBadInput, "more than {} tensors are not supported", kMaxTensors);
    }
    const auto number = static_cast<uint32_t>(shards_.size());
    const auto place = shards_.try_emplace(shard, number).first;
    index_.weight_map.push_back({std::move(key_), place->second});
    return {};
  }

  ShardIndex& index_;
  Section section_ = Section::kNone;
  int depth_ = 0;
  std::string key_;
  bool map_given_ = false;
  std::map<std::string, uint32_t> shards_;  // name -> number in order of appearance
};

}  // namespace

Result<ShardIndex> ReadShardIndex(const ByteSource& source, const std::string& what) {
  if (source.size > kMaxShardIndexSize) {
    return Fail(ErrorCode::kBadInput, "{}: an index of {} bytes, at most {} are read", what, source.size,
                kMaxShardIndexSize);
  }
  ShardIndex index;
  IndexHandler handler(index);
  if (auto read = ReadJson(source, 0, source.size, what, handler); !read) return Propagate(read);
  if (!handler.map_given()) return Fail(ErrorCode::kBadInput, "{}: no weight_map", what);
  if (index.weight_map.empty()) return Fail(ErrorCode::kBadInput, "{}: weight_map names no tensor", what);

  std::vector<uint32_t> sorted_place(handler.shards().size());
  for (const auto& [name, number] : handler.shards()) {
    sorted_place[number] = static_cast<uint32_t>(index.shards.size());
    index.shards.push_back(name);
  }
  for (ShardIndex::Entry& entry : index.weight_map) entry.shard = sorted_place[entry.shard];
  std::sort(index.weight_map.begin(), index.weight_map.end(),
            [](const ShardIndex::Entry& a, const ShardIndex::Entry& b) { return a.tensor < b.tensor; });
  std::sort(index.metadata.begin(), index.metadata.end());
  return index;
}

}  // namespace ingot

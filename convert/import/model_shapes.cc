#include "convert/import/model_shapes.h"

#include <algorithm>
#include <set>

#include "format/text.h"

namespace ingot {
namespace {

constexpr uint64_t kMostSize = uint64_t{1} << 32;

// A size in config.json; 0 if it is not there or no size.
uint64_t SizeOf(const Config& config, std::string_view key) {
  const auto at = config.json().find(key);
  if (at == config.json().end() || !at->is_number_unsigned()) return 0;
  const auto value = at->get<uint64_t>();
  return value < kMostSize ? value : 0;
}

// Sizes of the Llama family, whose module names most models share.
struct Sizes {
  uint64_t hidden, inner, vocabulary, queries, keys;

  explicit Sizes(const Config& config) {
    hidden = SizeOf(config, "hidden_size");
    inner = SizeOf(config, "intermediate_size");
    vocabulary = SizeOf(config, "vocab_size");
    const uint64_t heads = SizeOf(config, "num_attention_heads");
    const uint64_t head = SizeOf(config, "head_dim") != 0 ? SizeOf(config, "head_dim")
                          : heads == 0                    ? 0
                                                          : hidden / heads;
    const uint64_t key_heads = config.Has("num_key_value_heads") ? SizeOf(config, "num_key_value_heads") : heads;
    queries = head < kMostSize && heads < kMostSize ? heads * head : 0;
    keys = key_heads * head;
  }
};

WeightShape ByName(const Config& config, const std::string& module) {
  const Sizes s(config);
  const std::pair<std::string_view, WeightShape> rows[] = {
      {"q_proj", {s.queries, s.hidden}},
      {"k_proj", {s.keys, s.hidden}},
      {"v_proj", {s.keys, s.hidden}},
      {"o_proj", {s.hidden, s.queries}},
      {"gate_proj", {s.inner, s.hidden}},
      {"up_proj", {s.inner, s.hidden}},
      {"down_proj", {s.hidden, s.inner}},
      {"lm_head", {s.vocabulary, s.hidden}},
      {"embed_tokens", {s.vocabulary, s.hidden}},
  };
  const std::string last = module.substr(module.rfind('.') + 1);
  for (const auto& [name, shape] : rows) {
    if (last == name) return shape;
  }
  return {0, 0};
}

// All sizes that config.json mentions, and their usual multiples.
std::set<uint64_t> AllSizes(const Config& config) {
  std::set<uint64_t> sizes;
  for (const auto& item : config.json().items()) {
    const uint64_t size = SizeOf(config, item.key());
    if (size == 0) continue;
    for (uint64_t factor : {1, 2, 3, 4}) sizes.insert(factor * size);
  }
  const Sizes s(config);
  sizes.insert({s.queries, s.keys, s.queries + 2 * s.keys});
  sizes.erase(0);
  return sizes;
}

}  // namespace

Result<WeightShape> FindShape(const Checkpoint& checkpoint, const std::string& module, uint64_t elements,
                              const std::function<bool(uint64_t cols)>& fits) {
  const Config& config = checkpoint.config();
  const auto is_shape = [&](WeightShape s) {
    return s.cols != 0 && s.rows == elements / s.cols && elements % s.cols == 0 && fits(s.cols);
  };
  const WeightShape named = ByName(config, module);
  if (is_shape(named)) return named;
  const SourceTensor* bias = checkpoint.Find(module + ".bias");
  if (bias != nullptr && bias->shape.size() == 1 && bias->shape[0] != 0) {
    const WeightShape by_bias{bias->shape[0], elements / bias->shape[0]};
    if (is_shape(by_bias)) return by_bias;
  }
  const std::set<uint64_t> sizes = AllSizes(config);
  std::vector<WeightShape> found;
  for (uint64_t cols : sizes) {
    const WeightShape shape{elements / cols, cols};
    if (is_shape(shape) && sizes.contains(shape.rows)) found.push_back(shape);
  }
  if (found.size() == 1) return found.front();
  return Fail(
      ErrorCode::kBadInput,
      "{}: module {}: the shape of its weight of {} codes is not in the file, and {} fit the sizes in config.json",
      checkpoint.path(), Quote(module), elements, found.empty() ? "none" : "several");
}

}  // namespace ingot

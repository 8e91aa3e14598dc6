#include "convert/export_gptq.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "convert/convert.h"

namespace ingot {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{32} << 20;  // of lines; their transposition takes as much again
enum Output : size_t { kQweight, kQzeros, kScales, kGroupIndex };

class GptqTensor final : public PackedTensor {
 public:
  GptqTensor(const Candidate& c, const GptqExport& form)
      : PackedTensor(c.number, OutputsOf(c, form)), form_(form), scale_(c.scale_type()) {}

  Status Write(const TensorReader& reader, const Put& put) const override {
    const EncodedMatrix& m = reader.parts().front().matrix;
    const Linear& l = m.linear;
    if (auto written = WriteCodes(m, put); !written) return written;
    const auto zeros = PackByGroup(ZeroCodes(m, form_.plus_one), l.rows, form_.OrderOf(l.bits), l.bits);
    if (auto written = put(kQzeros, 0, zeros); !written) return written;
    const std::vector<std::byte> scales = ScaleBytes(m, scale_);
    std::vector<std::byte> turned(scales.size());
    Transpose(InfoOf(scale_).size, scales.data(), l.rows, l.groups_across(), turned.data());
    if (auto written = put(kScales, 0, turned); !written) return written;
    return put(kGroupIndex, 0, GroupOfColumns(m));
  }

 private:
  static std::vector<Output> OutputsOf(const Candidate& c, const GptqExport& form) {
    const Linear& l = c.linear;
    const CodeOrder order = form.OrderOf(l.bits);
    const uint64_t groups = l.groups_across();
    return {{c.module + ".qweight", DType::kI32, {LineWords(order, l.bits, l.cols), l.rows}},
            {c.module + ".qzeros", DType::kI32, {groups, LineWords(order, l.bits, l.rows)}},
            {c.module + ".scales", c.scale_type(), {groups, l.rows}},
            {c.module + ".g_idx", DType::kI32, {l.cols}}};
  }

  // Lines of codes lie down the columns: blocks of rows become strips of every row of words.
  Status WriteCodes(const EncodedMatrix& m, const Put& put) const {
    const PackedRows rows(m, form_.OrderOf(m.linear.bits));
    const uint64_t line = rows.line_bytes(), all = m.linear.rows;
    const uint64_t most = std::clamp<uint64_t>(kBlockBytes / line, 1, all);
    std::vector<std::byte> lines(most * line), turned(lines.size());
    for (uint64_t first = 0; first < all; first += most) {
      const uint64_t count = std::min(most, all - first);
      rows.Pack(first, count, lines.data());
      Transpose(4, lines.data(), count, line / 4, turned.data());
      const uint64_t strips = count == all ? 1 : line / 4, strip = count * line / strips;
      for (uint64_t i = 0; i < strips; ++i) {
        const ByteSpan bytes(turned.data() + i * strip, strip);
        if (auto written = put(kQweight, 4 * (i * all + first), bytes); !written) return written;
      }
    }
    return {};
  }

  GptqExport form_;
  DType scale_;
};

// The width and group size of a module, -1 for whole rows.
using GptqScheme = std::pair<int, int64_t>;

GptqScheme SchemeOf(const Linear& l) {
  return {l.bits, l.group_cols == l.cols ? -1 : static_cast<int64_t>(l.group_cols)};
}

// Whether a module is as the configuration says of all.
bool IsOf(const GptqScheme& scheme, const Linear& l) {
  const uint64_t group = scheme.second < 0 ? l.cols : std::min(static_cast<uint64_t>(scheme.second), l.cols);
  return scheme.first == l.bits && group == l.group_cols;
}

// Layers that vLLM loads as one, and asks the configuration about under one name.
struct FusedLayer {
  std::string_view name;
  std::array<std::string_view, 3> parts;
};
constexpr std::array<FusedLayer, 2> kFusedLayers = {
    {{"qkv_proj", {"q_proj", "k_proj", "v_proj"}}, {"gate_up_proj", {"gate_proj", "up_proj", ""}}}};

// What the configuration says of modules one by one, by their names: nothing (null) of a module that is not quantized.
using Overrides = std::map<std::string, nlohmann::json>;

// Says the same of a fused layer as of its parts, where these agree.
void AddFusedLayers(Overrides& overrides) {
  Overrides fused;
  for (const auto& entry : overrides) {
    const std::string& module = entry.first;
    for (const FusedLayer& layer : kFusedLayers) {
      if (!module.ends_with(layer.parts[0])) continue;
      const std::string parent = module.substr(0, module.size() - layer.parts[0].size());
      const bool agree = std::all_of(layer.parts.begin(), layer.parts.end(), [&](std::string_view part) {
        const auto found = overrides.find(parent + std::string(part));
        return part.empty() || (found != overrides.end() && found->second == entry.second);
      });
      if (agree) fused.emplace(parent + std::string(layer.name), entry.second);
    }
  }
  overrides.merge(fused);
}

// The most frequent one.
GptqScheme CommonScheme(const std::vector<Candidate>& modules) {
  std::map<GptqScheme, size_t> counts;
  for (const Candidate& c : modules) ++counts[SchemeOf(c.linear)];
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// A pattern that a name alone matches.
std::string PatternOf(const std::string& name) {
  std::string pattern = "^";
  for (char c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
                       static_cast<unsigned char>(c) >= 0x80;
    if (!plain) pattern += '\\';
    pattern += c;
  }
  return pattern + "$";
}

nlohmann::json GptqConfigOf(const FolderTensors& tensors, const GptqExport& form) {
  const GptqScheme common = CommonScheme(tensors.packed);
  Overrides overrides;
  bool act_order = false, head = false, some_dense = false;
  nlohmann::json modules = nlohmann::json::array();
  for (const Candidate& c : tensors.packed) {
    act_order = act_order || c.linear.permutation;
    head = head || c.module == "lm_head";
    modules.push_back(c.module);
    const GptqScheme scheme = SchemeOf(c.linear);
    if (!IsOf(common, c.linear)) overrides[c.module] = {{"bits", scheme.first}, {"group_size", scheme.second}};
  }
  for (const std::string& module : tensors.dense_modules) {
    if (module == "lm_head") continue;
    overrides[module] = nullptr;
    some_dense = true;
  }
  AddFusedLayers(overrides);
  nlohmann::json dynamic = nlohmann::json::object();
  for (const auto& [module, what] : overrides)
    dynamic[(what.is_null() ? "-:" : "+:") + PatternOf(module)] = what.is_null() ? nlohmann::json::object() : what;
  std::string quantizer = GeneratorName();
  std::replace(quantizer.begin(), quantizer.end(), ' ', ':');
  nlohmann::json config = {
      {"quant_method", "gptq"},      {"checkpoint_format", form.name()},
      {"format", form.name()},       {"bits", common.first},
      {"group_size", common.second}, {"desc_act", act_order},
      {"sym", form.symmetric},       {"lm_head", head},
      {"pack_dtype", "int32"},       {"meta", {{"quantizer", nlohmann::json::array({std::move(quantizer)})}}}};
  if (!dynamic.empty()) config["dynamic"] = std::move(dynamic);
  // transformers does not read "dynamic": it would take every linear layer of the blocks for a quantized one.
  if (some_dense) config["modules_in_block_to_quantize"] = nlohmann::json::array({std::move(modules)});
  return config;
}

// What current readers do not load, although the format has it.
std::vector<std::string> NotesOn(const FolderTensors& tensors, const GptqExport& form) {
  bool vllm = form.symmetric, head = false;
  for (const Candidate& c : tensors.packed) {
    vllm = vllm && (c.linear.bits == 4 || c.linear.bits == 8) && !c.linear.permutation;
    head = head || c.module == "lm_head";
  }
  std::vector<std::string> notes;
  if (!vllm)
    notes.emplace_back(
        "vLLM's GPTQ has 4 or 8 bits, no zero-points and no permuted columns; its compressed-tensors has more");
  if (head)
    notes.emplace_back(
        "transformers does not look for a quantized lm_head: with it, only GPTQModel and vLLM load GPTQ");
  return notes;
}

// What all modules together need; kBadInput if they need what excludes each other.
Result<GptqExport> FormOf(const Model& model, const std::vector<Candidate>& modules) {
  GptqExport form;
  form.symmetric = true;
  bool has_zero = false;
  for (const Candidate& c : modules) {
    const float half = static_cast<float>(1 << (c.linear.bits - 1));
    form.symmetric = form.symmetric && c.lowest_zero == half && c.highest_zero == half;
    form.planar = form.planar || (c.linear.bits >= 5 && c.linear.bits <= 7);
    form.plus_one = form.plus_one || c.highest_zero == static_cast<float>(1 << c.linear.bits);
    has_zero = has_zero || c.lowest_zero == 0;
  }
  if (form.plus_one && (has_zero || form.planar))
    return Fail(ErrorCode::kBadInput,
                "{}: some zero-points are 2^bits, which only GPTQ's first format can hold, and {} (--include)",
                model.main().path(), form.planar ? "some codes have 5 to 7 bits" : "some are 0, which it cannot");
  form.plus_one = form.plus_one || (form.symmetric && !form.planar);
  return form;
}

}  // namespace

CodeOrder GptqExport::OrderOf(int bits) const {
  const bool fields = bits == 5 || bits == 6 || bits == 7 || (planar && bits == 3);
  return fields ? CodeOrder::kPlanar : CodeOrder::kStream;
}

std::string ObstacleToGptq(const Candidate& c) {
  if (auto obstacle = ObstacleToIntegers(c); !obstacle.empty()) return obstacle;
  const Linear& l = c.linear;
  if (c.highest_zero > static_cast<float>(1 << l.bits)) return "its zero-points are not codes";
  const bool whole_words = l.bits == 2 || l.bits == 4 || l.bits == 8;
  if (!whole_words && (l.rows % 32 != 0 || l.cols % 32 != 0))
    return fmt::format("it has {} by {} codes of {} bits, which must be multiples of 32", l.rows, l.cols, l.bits);
  return {};
}

std::shared_ptr<const PackedTensor> MakeGptq(const Candidate& candidate, const GptqExport& form) {
  return std::make_shared<GptqTensor>(candidate, form);
}

Result<FolderPlan> PlanGptq(const Model& model, const FolderOptions& options) {
  auto tensors = SortTensors(model, options, "GPTQ", ObstacleToGptq);
  if (!tensors) return Propagate(tensors);
  const auto form = FormOf(model, tensors->packed);
  if (!form) return Propagate(form);
  SafetensorsPlan::PackedList packed;
  for (const Candidate& c : tensors->packed) packed.push_back(MakeGptq(c, *form));
  auto weights = SafetensorsPlan::Make(model, tensors->dense, options.dtype, std::move(packed));
  if (!weights) return Propagate(weights);
  const nlohmann::json quantization = GptqConfigOf(*tensors, *form);
  auto config = ConfigText(model, quantization);
  if (!config) return Propagate(config);
  std::vector<FolderPlan::File> files = {{"config.json", std::move(*config)},
                                         {"quantize_config.json", quantization.dump(2) + "\n"},
                                         {"quant_config.json", {}}};
  return FolderPlan{std::move(*weights), std::move(files), NotesOn(*tensors, *form)};
}

}  // namespace ingot

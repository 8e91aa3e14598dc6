#include "convert/export_compressed_tensors.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace ingot {
namespace {

constexpr std::array<std::string_view, 4> kFormatNames = {"pack-quantized", "float-quantized", "nvfp4-pack-quantized",
                                                          "mxfp4-pack-quantized"};

std::string_view NameOf(CtFormat format) { return kFormatNames[static_cast<size_t>(format)]; }

nlohmann::json WeightsOf(const CtLayout& layout) {
  nlohmann::json weights = {{"num_bits", layout.bits},
                            {"type", layout.format == CtFormat::kPackQuantized ? "int" : "float"},
                            {"symmetric", layout.symmetric},
                            {"strategy", layout.strategy},
                            {"dynamic", false},
                            {"group_size", nullptr}};
  if (layout.strategy == "block") {
    weights["block_structure"] = {layout.group_rows, layout.group_cols};
  } else if (layout.group_cols != 0) {
    weights["group_size"] = layout.group_cols;
  }
  if (layout.act_order) weights["actorder"] = "group";
  if (layout.format == CtFormat::kMxfp4) weights["scale_dtype"] = "torch.uint8";
  return weights;
}

using Key = decltype(std::declval<CtLayout>().key());

struct Group {
  CtLayout layout;
  std::vector<std::string> modules;
};

nlohmann::json CtConfigOf(const std::map<Key, Group>& groups, const std::vector<std::string>& dense) {
  nlohmann::json config_groups = nlohmann::json::object();
  std::string_view format;
  for (const auto& entry : groups) {
    const Group& group = entry.second;
    const std::string_view name = NameOf(group.layout.format);
    format = format.empty() || format == name ? name : "mixed-precision";
    nlohmann::json targets = nlohmann::json(group.modules);
    if (groups.size() == 1) {
      targets = nlohmann::json::array({"Linear"});
      // In vLLM the output head is of another class.
      if (std::find(group.modules.begin(), group.modules.end(), "lm_head") != group.modules.end())
        targets.push_back("lm_head");
    }
    config_groups["group_" + std::to_string(config_groups.size())] = {{"targets", targets},
                                                                      {"weights", WeightsOf(group.layout)},
                                                                      {"input_activations", nullptr},
                                                                      {"output_activations", nullptr},
                                                                      {"format", name}};
  }
  nlohmann::json config = {{"quant_method", "compressed-tensors"},
                           {"version", "0.20.0"},
                           {"format", format},
                           {"quantization_status", "compressed"},
                           {"config_groups", config_groups},
                           {"ignore", dense},
                           {"kv_cache_scheme", nullptr},
                           {"global_compression_ratio", nullptr}};
  // compressed-tensors (to 0.20 at least) reserves the zero-points of a model unpacked, so that transformers refuses
  // the packed ones of any file, those that the package has written too. Decompressed while it is loaded, the file is
  // read; transformers then takes the first group's scheme for all, so this must be the only one. Nobody else reads the
  // key.
  if (groups.size() == 1 && !groups.begin()->second.layout.symmetric) config["dequantize"] = true;
  return config;
}

// The layouts of all candidates. Of those that differ in nothing but zero-points, all get some: vLLM wants one scheme
// for the parts of a fused layer, such as q, k and v.
Result<std::vector<CtLayout>> LayoutsOf(const std::vector<Candidate>& candidates) {
  std::vector<CtLayout> layouts;
  for (const Candidate& c : candidates) {
    auto layout = CtLayoutOf(c);
    if (!layout) return Propagate(layout);
    layouts.push_back(*layout);
  }
  std::set<Key> with_zeros;
  for (const CtLayout& layout : layouts) {
    if (!layout.symmetric) with_zeros.insert(layout.key());
  }
  for (CtLayout& layout : layouts) {
    CtLayout other = layout;
    other.symmetric = false;
    if (with_zeros.contains(other.key())) layout = other;
  }
  return layouts;
}

// What current readers do not load, although the format has it.
std::vector<std::string> NotesOn(const std::map<Key, Group>& groups) {
  bool permuted = false, zeros = false;
  for (const auto& entry : groups) {
    permuted = permuted || entry.second.layout.act_order;
    zeros = zeros || !entry.second.layout.symmetric;
  }
  std::vector<std::string> notes;
  if (permuted) notes.emplace_back("permuted columns (act-order) are read by compressed-tensors before 0.19 only");
  if (zeros && groups.size() > 1)
    notes.emplace_back("transformers does not load zero-points where modules have different schemes; vLLM does");
  return notes;
}

std::string Obstacle(const Candidate& candidate) {
  const auto layout = CtLayoutOf(candidate);
  return layout ? std::string() : layout.error().message;
}

}  // namespace

Result<FolderPlan> PlanCompressedTensors(const Model& model, const FolderOptions& options) {
  auto tensors = SortTensors(model, options, "compressed-tensors", Obstacle);
  if (!tensors) return Propagate(tensors);
  SafetensorsPlan::PackedList packed;
  std::map<Key, Group> groups;
  const auto layouts = LayoutsOf(tensors->packed);
  if (!layouts) return Propagate(layouts);
  for (size_t i = 0; i < layouts->size(); ++i) {
    const Candidate& c = tensors->packed[i];
    const CtLayout& layout = (*layouts)[i];
    Group& group = groups[layout.key()];
    group.layout = layout;
    group.modules.push_back(c.module);
    packed.push_back(MakeCompressed(c, layout));
  }
  auto weights = SafetensorsPlan::Make(model, tensors->dense, options.dtype, std::move(packed));
  if (!weights) return Propagate(weights);
  auto config = ConfigText(model, CtConfigOf(groups, tensors->dense_modules));
  if (!config) return Propagate(config);
  std::vector<FolderPlan::File> files = {
      {"config.json", std::move(*config)}, {"quantize_config.json", {}}, {"quant_config.json", {}}};
  return FolderPlan{std::move(*weights), std::move(files), NotesOn(groups)};
}

}  // namespace ingot

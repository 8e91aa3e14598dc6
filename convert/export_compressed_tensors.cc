#include "convert/export_compressed_tensors.h"

#include <array>
#include <map>

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
    const nlohmann::json targets =
        groups.size() == 1 ? nlohmann::json::array({"Linear"}) : nlohmann::json(group.modules);
    config_groups["group_" + std::to_string(config_groups.size())] = {{"targets", targets},
                                                                      {"weights", WeightsOf(group.layout)},
                                                                      {"input_activations", nullptr},
                                                                      {"output_activations", nullptr},
                                                                      {"format", name}};
  }
  return {{"quant_method", "compressed-tensors"},
          {"version", "0.20.0"},
          {"format", format},
          {"quantization_status", "compressed"},
          {"config_groups", config_groups},
          {"ignore", dense},
          {"kv_cache_scheme", nullptr},
          {"global_compression_ratio", nullptr}};
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
  for (const Candidate& c : tensors->packed) {
    const auto layout = CtLayoutOf(c);
    if (!layout) return Propagate(layout);
    Group& group = groups[layout->key()];
    group.layout = *layout;
    group.modules.push_back(c.module);
    packed.push_back(MakeCompressed(c, *layout));
  }
  auto weights = SafetensorsPlan::Make(model, tensors->dense, options.dtype, std::move(packed));
  if (!weights) return Propagate(weights);
  auto config = ConfigText(model, CtConfigOf(groups, tensors->dense_modules));
  if (!config) return Propagate(config);
  std::vector<FolderPlan::File> files = {
      {"config.json", std::move(*config)}, {"quantize_config.json", {}}, {"quant_config.json", {}}};
  return FolderPlan{std::move(*weights), std::move(files), {}};
}

}  // namespace ingot

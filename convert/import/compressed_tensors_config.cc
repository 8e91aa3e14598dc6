#include "convert/import/compressed_tensors_config.h"

#include <charconv>

#include "format/text.h"

namespace ingot {
namespace {

// The sides of "block_structure": [128, 128], or the text "128x128".
bool ReadBlock(const nlohmann::json& value, CtScheme& scheme) {
  if (value.is_array() && value.size() == 2 && value[0].is_number_unsigned() && value[1].is_number_unsigned()) {
    scheme.block_rows = value[0].get<uint64_t>();
    scheme.block_cols = value[1].get<uint64_t>();
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const char* const end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, scheme.block_rows);
    if (error != std::errc() || at == end || *at != 'x') return false;
    if (std::from_chars(at + 1, end, scheme.block_cols).ptr != end) return false;
  }
  return scheme.block_rows != 0 && scheme.block_cols != 0;
}

Result<CtScheme> ReadScheme(const Config& group, const std::string& default_format) {
  CtScheme scheme;
  const auto format = group.Text("format");
  if (!format) return Propagate(format);
  scheme.format = format->value_or(default_format);
  const auto weights = group.Object("weights");
  if (!weights) return Propagate(weights);
  const auto bits = weights->Integer("num_bits"), group_size = weights->Integer("group_size");
  const auto type = weights->Text("type"), strategy = weights->Text("strategy");
  if (!bits) return Propagate(bits);
  if (!group_size) return Propagate(group_size);
  if (!type) return Propagate(type);
  if (!strategy) return Propagate(strategy);
  const int64_t width = bits->value_or(8);
  if (width < 1 || width > 8)
    return Fail(ErrorCode::kBadInput, "{}: num_bits is {}, must be from 1 to 8", weights->what(), width);
  scheme.bits = static_cast<int>(width);
  if (type->value_or("int") != "int" && type->value_or("int") != "float")
    return Fail(ErrorCode::kBadInput, "{}: type is {}, must be int or float", weights->what(), Quote(**type));
  scheme.is_float = type->value_or("int") == "float";
  scheme.strategy = strategy->value_or("");
  if (group_size->value_or(-1) > 0) scheme.group_size = static_cast<uint64_t>(**group_size);
  const nlohmann::json* const block = weights->Find("block_structure");
  if (scheme.strategy == "block" && (block == nullptr || !ReadBlock(*block, scheme)))
    return Fail(ErrorCode::kBadInput, "{}: block_structure must be two positive numbers", weights->what());
  return scheme;
}

// Whether a version ("0.16.0") is 0.17 or later; true if there is none.
bool IsStraddling(const std::string& version) {
  unsigned major = 0, minor = 0;
  const char* const end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, major);
  if (error != std::errc() || dot == end || *dot != '.') return true;
  if (std::from_chars(dot + 1, end, minor).ec != std::errc()) return true;
  return major > 0 || minor >= 17;
}

}  // namespace

Result<CtConfig> CtConfig::Read(const Checkpoint& checkpoint) {
  const Config& config = checkpoint.quantization();
  if (config.empty()) {
    return Fail(ErrorCode::kBadInput,
                "{}: compressed tensors, but no config.json beside them says how they are stored; convert the folder",
                checkpoint.path());
  }
  CtConfig out;
  out.what_ = config.what();
  const auto version = config.Text("version"), format = config.Text("format");
  if (!version) return Propagate(version);
  if (!format) return Propagate(format);
  out.straddles_ = IsStraddling(version->value_or(""));
  const auto groups = config.Object("config_groups");
  if (!groups) return Propagate(groups);
  for (const auto& item : groups->json().items()) {
    const auto group = groups->Object(item.key());
    if (!group) return Propagate(group);
    auto scheme = ReadScheme(*group, format->value_or(""));
    if (!scheme) return Propagate(scheme);
    const nlohmann::json& targets = group->Has("targets") ? *group->Find("targets") : nlohmann::json::array();
    if (!targets.is_array()) return Fail(ErrorCode::kBadInput, "{}: targets must be a list of texts", group->what());
    for (const nlohmann::json& target : targets) {
      if (!target.is_string()) return Fail(ErrorCode::kBadInput, "{}: targets must be a list of texts", group->what());
      Target& t = out.targets_.emplace_back();
      t.name = target.get<std::string>();
      t.scheme = out.schemes_.size();
      if (!t.name.starts_with("re:")) continue;
      auto regex = Regex::Compile("^(?:" + t.name.substr(3) + ")");  // matched at the beginning of the name
      if (!regex) return Fail(ErrorCode::kBadInput, "{}: targets: {}", group->what(), regex.error().message);
      t.pattern = std::move(*regex);
    }
    out.schemes_.push_back(std::move(*scheme));
  }
  if (out.schemes_.empty()) return Fail(ErrorCode::kBadInput, "{}: config_groups is missing or empty", config.what());
  return out;
}

Result<CtScheme> CtConfig::SchemeOf(const std::string& module) const {
  for (const Target& target : targets_) {
    if (target.name == module) return schemes_[target.scheme];
  }
  for (const Target& target : targets_) {
    if (!target.pattern) continue;
    const auto matches = target.pattern->Matches(module);
    if (!matches) return Propagate(matches);
    if (*matches) return schemes_[target.scheme];
  }
  // Names of classes are not in a checkpoint: the first one that is no module's counts.
  for (const Target& target : targets_) {
    if (!target.pattern && target.name.find('.') == std::string::npos) return schemes_[target.scheme];
  }
  return Fail(ErrorCode::kBadInput, "{}: module {} is quantized, but no config group has it as a target", what_,
              Quote(module));
}

}  // namespace ingot

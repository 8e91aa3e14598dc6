#include "convert/import/gptq_config.h"

#include "format/text.h"

namespace ingot {
namespace {

// The first of several names of the same thing.
Result<std::optional<int64_t>> FirstInteger(const Config& config, std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) {
    auto value = config.Integer(key);
    if (!value || *value) return value;
  }
  return std::nullopt;
}

Result<int> CheckedBits(const Config& config, int64_t bits) {
  if (bits < 2 || bits > 8)
    return Fail(ErrorCode::kBadInput, "{}: bits is {}, must be from 2 to 8", config.what(), bits);
  return static_cast<int>(bits);
}

Result<uint64_t> CheckedGroup(const Config& config, int64_t group) {
  if (group != -1 && group < 1)
    return Fail(ErrorCode::kBadInput, "{}: group_size is {}, must be positive, or -1 for whole rows", config.what(),
                group);
  return group == -1 ? 0 : static_cast<uint64_t>(group);
}

Result<std::string> FormatName(const Config& config) {
  for (std::string_view key : {"checkpoint_format", "format"}) {
    auto text = config.Text(key);
    if (!text) return Propagate(text);
    if (*text) return **text;
  }
  const auto marlin = config.Bool("is_marlin_format");
  if (!marlin) return Propagate(marlin);
  return marlin->value_or(false) ? "marlin" : "gptq";
}

// Whether "meta": {"quantizer": ...}, a text or a list of them, names GPTQModel.
Result<bool> IsByGptqModel(const Config& config) {
  const auto meta = config.Object("meta");
  if (!meta) return Propagate(meta);
  const nlohmann::json* const quantizer = meta->Find("quantizer");
  if (quantizer == nullptr) return false;
  const auto names = [](const nlohmann::json& text) {
    return text.is_string() && text.get_ref<const std::string&>().find("gptqmodel") != std::string::npos;
  };
  if (!quantizer->is_array()) return names(*quantizer);
  for (const nlohmann::json& entry : *quantizer) {
    if (names(entry)) return true;
  }
  return false;
}

// Where a folder has two descriptions, they must say the same.
Status CheckSame(const Config& a, const Config& b) {
  for (std::string_view key : {"bits", "group_size", "checkpoint_format", "sym", "desc_act"}) {
    const nlohmann::json *const first = a.Find(key), *const second = b.Find(key);
    if (first == nullptr || second == nullptr || *first == *second) continue;
    return Fail(ErrorCode::kBadInput, "{} says that {} is {}, {} that it is {}", a.what(), key, first->dump(), b.what(),
                second->dump());
  }
  return {};
}

}  // namespace

Result<GptqConfig> GptqConfig::Read(const Checkpoint& checkpoint) {
  const Config& config = checkpoint.quantization();
  if (config.empty()) {
    return Fail(
        ErrorCode::kBadInput,
        "{}: GPTQ tensors, but neither config.json nor quantize_config.json beside them says how they are stored; "
        "convert the folder",
        checkpoint.path());
  }
  if (auto same = CheckSame(config, checkpoint.second_quantization()); !same) return Propagate(same);
  GptqConfig out;
  out.what_ = config.what();
  const auto bits = FirstInteger(config, {"bits", "w_bit"});
  if (!bits) return Propagate(bits);
  if (!*bits) return Fail(ErrorCode::kBadInput, "{}: bits is missing", config.what());
  const auto checked = CheckedBits(config, **bits);
  if (!checked) return Propagate(checked);
  out.bits_ = *checked;
  const auto group = FirstInteger(config, {"group_size", "q_group_size"});
  if (!group) return Propagate(group);
  const auto checked_group = CheckedGroup(config, group->value_or(-1));
  if (!checked_group) return Propagate(checked_group);
  out.group_size_ = *checked_group;
  auto format = FormatName(config);
  if (!format) return Propagate(format);
  out.format_ = std::move(*format);
  if (out.format_ != "gptq" && out.format_ != "gptq_v2" && out.format_ != "gptq_p") {
    return Fail(ErrorCode::kBadInput, "{}: checkpoint_format is {}; gptq, gptq_v2 and gptq_p can be imported",
                config.what(), Quote(out.format_));
  }
  const auto by_gptqmodel = IsByGptqModel(config);
  if (!by_gptqmodel) return Propagate(by_gptqmodel);
  out.by_gptqmodel_ = *by_gptqmodel;

  const auto dynamic = config.Object("dynamic");
  if (!dynamic) return Propagate(dynamic);
  for (const auto& item : dynamic->json().items()) {
    std::string pattern = item.key();
    const bool excluded = pattern.starts_with("-:");
    if (excluded || pattern.starts_with("+:")) pattern.erase(0, 2);
    auto regex = Regex::Compile("^(?:" + pattern + ")");  // matched at the beginning of the name
    if (!regex) return Fail(ErrorCode::kBadInput, "{}: {}", dynamic->what(), regex.error().message);
    auto values = dynamic->Object(item.key());
    if (!values) return Propagate(values);
    out.overrides_.push_back({std::move(*regex), excluded, std::move(*values)});
  }
  return out;
}

GptqFormat GptqConfig::Complete(int bits, uint64_t group_size) const {
  GptqFormat f;
  f.bits = bits;
  f.group_size = group_size;
  f.planar = bits == 5 || bits == 6 || bits == 7 || (format_ == "gptq_p" && bits == 3);
  if (format_ == "gptq") {
    const bool whole_fields = bits == 2 || bits == 4 || bits == 8;
    f.zeros = !by_gptqmodel_ ? GptqZeros::kFieldPlusOne : whole_fields ? GptqZeros::kWordCarry : GptqZeros::kFieldWrap;
  }
  return f;
}

Result<GptqFormat> GptqConfig::FormatOf(const std::string& module) const {
  for (const Override& o : overrides_) {
    const auto matches = o.pattern.Matches(module);
    if (!matches) return Propagate(matches);
    if (!*matches) continue;
    if (o.excluded)
      return Fail(ErrorCode::kBadInput, "{}: says that module {} is not quantized, but it is", o.values.what(),
                  Quote(module));
    const auto bits = o.values.Integer("bits");
    if (!bits) return Propagate(bits);
    const auto checked = CheckedBits(o.values, bits->value_or(bits_));
    if (!checked) return Propagate(checked);
    const auto group = o.values.Integer("group_size");
    if (!group) return Propagate(group);
    if (!*group) return Complete(*checked, group_size_);
    const auto checked_group = CheckedGroup(o.values, **group);
    if (!checked_group) return Propagate(checked_group);
    return Complete(*checked, *checked_group);
  }
  return Complete(bits_, group_size_);
}

}  // namespace ingot

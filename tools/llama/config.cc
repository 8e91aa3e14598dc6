#include "tools/llama/config.h"

#include <cmath>

#include "tools/llama/failure.h"

namespace llama {

Config ReadConfig(const IngotFile& file) {
  // The names of the tensors decide, not what is attached: a file from GGUF may have been given a config.json.
  Config config;
  if (file.Find("token_embd.weight")) {
    config = ReadGgufConfig(file);
    config.layout = Layout::kGguf;
    config.source = "metadata";
  } else if (const auto text = file.Attachment("config.json")) {
    config = ReadHuggingFaceConfig(file, *text);
    config.layout = Layout::kHuggingFace;
    config.source = "config.json";
  } else {
    Fail(kBadInput, "{}: neither config.json among the attachments nor the tensors of a llama model from GGUF",
         file.path());
  }
  CheckConfig(file, config);
  return config;
}

void CheckConfig(const IngotFile& file, const Config& config) {
  const auto refuse = [&](const std::string& what) { Fail(kBadInput, "{}: {}: {}", file.path(), config.source, what); };
  if (config.heads % config.kv_heads != 0)
    refuse(fmt::format("{} heads cannot share {} heads of keys and values", config.heads, config.kv_heads));
  if (config.head_dim % 2 != 0) refuse(fmt::format("heads of {} values cannot be turned in pairs", config.head_dim));
}

double YarnAttentionFactor(double factor, double scale) { return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1; }

}  // namespace llama

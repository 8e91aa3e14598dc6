// The metadata of a GGUF file, which `ingot convert` keeps with the prefix "gguf.", read as llama.cpp reads it.
#include <cmath>

#include "tools/llama/config.h"
#include "tools/llama/failure.h"

namespace llama {
namespace {

class Reader {
 public:
  explicit Reader(const IngotFile& file) : file_(file) {}

  Config Read() {
    const std::string kind = file_.Text("gguf.general.architecture").value_or("");
    if (kind != "llama")
      Fail(kBadInput, "{}: gguf.general.architecture is '{}'; supported: llama", file_.path(), Printable(kind));
    if (file_.Number(Key("expert_count")).value_or(0) != 0)
      Refuse("expert_count", "mixtures of experts are not supported");
    Config c;
    c.width = Size("embedding_length");
    c.inner = Size("feed_forward_length");
    c.layers = Size("block_count");
    c.heads = Size("attention.head_count");
    c.kv_heads = Size("attention.head_count_kv", c.heads);
    c.head_dim = Size("attention.key_length", std::max<uint64_t>(c.width / c.heads, 1));
    if (Size("attention.value_length", c.head_dim) != c.head_dim)
      Refuse("attention.value_length", fmt::format("must be that of keys, {}", c.head_dim));
    if (Size("rope.dimension_count", c.head_dim) != c.head_dim)
      Refuse("rope.dimension_count", fmt::format("must be that of keys, {}", c.head_dim));
    c.context = Size("context_length", 2048);
    c.epsilon = static_cast<float>(Number("attention.layer_norm_rms_epsilon"));
    const auto embedding = file_.Find("token_embd.weight");  // llama.vocab_size is optional
    c.vocabulary = embedding ? embedding->info().rows : 0;
    c.tied = true;  // where there is no output.weight
    ReadRope(c.rope, static_cast<double>(c.context));
    return c;
  }

 private:
  static std::string Key(std::string_view name) { return fmt::format("gguf.llama.{}", name); }

  [[noreturn]] void Refuse(std::string_view name, std::string_view what) const {
    Fail(kBadInput, "{}: metadata {}: {}", file_.path(), Key(name), what);
  }

  double Number(std::string_view name, std::optional<double> otherwise = {}) const {
    const auto found = file_.Number(Key(name));
    if (!found && otherwise) return *otherwise;
    if (!found) Refuse(name, "is missing");
    if (!(*found > 0 && *found < 1e30)) Refuse(name, fmt::format("is {}, must be above 0", *found));
    return *found;
  }

  uint64_t Size(std::string_view name, std::optional<uint64_t> otherwise = {}) const {
    const double size = otherwise ? Number(name, static_cast<double>(*otherwise)) : Number(name);
    if (size != std::floor(size) || size >= 4294967296.0)
      Refuse(name, fmt::format("is {}, must be a whole number from 1 to 2^32 - 1", size));
    return static_cast<uint64_t>(size);
  }

  // Llama 3's scaling has no type here: its factors are a tensor, rope_freqs.weight.
  void ReadRope(RopeConfig& r, double context) const {
    r.theta = Number("rope.freq_base", 10000.0);
    const std::string type = file_.Text(Key("rope.scaling.type")).value_or("none");
    if (type == "none") return;
    if (type != "linear" && type != "yarn")
      Refuse("rope.scaling.type", fmt::format("is '{}'; supported: none, linear, yarn", Printable(type)));
    r.type = type;
    r.factor = Number("rope.scaling.factor");
    if (type == "linear") return;
    if (file_.Number(Key("rope.scaling.yarn_log_multiplier")))
      Refuse("rope.scaling.yarn_log_multiplier", "is not supported");
    r.original_context = Number("rope.scaling.original_context_length", context);
    r.beta_fast = Number("rope.scaling.yarn_beta_fast", 32.0);
    r.beta_slow = Number("rope.scaling.yarn_beta_slow", 1.0);
    r.attention_factor = Number("rope.scaling.attn_factor", 1.0) * YarnAttentionFactor(r.factor);
  }

  const IngotFile& file_;
};

}  // namespace

Config ReadGgufConfig(const IngotFile& file) { return Reader(file).Read(); }

}  // namespace llama

#include "tools/llama/weights.h"

#include "tools/llama/failure.h"

namespace llama {
namespace {

// What each system calls a tensor; of those in a layer, what stands after "model.layers.7." or "blk.7.".
struct Names {
  const char* layers;
  const char* embedding;
  const char* norm;
  const char* head;
  const char* attention_norm;
  const char* mlp_norm;
  const char* q;
  const char* k;
  const char* v;
  const char* output;
  const char* gate;
  const char* up;
  const char* down;
};
constexpr Names kHuggingFaceNames = {
    .layers = "model.layers.",
    .embedding = "model.embed_tokens",
    .norm = "model.norm",
    .head = "lm_head",
    .attention_norm = "input_layernorm",
    .mlp_norm = "post_attention_layernorm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .output = "self_attn.o_proj",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
};
constexpr Names kGgufNames = {
    .layers = "blk.",
    .embedding = "token_embd",
    .norm = "output_norm",
    .head = "output",
    .attention_norm = "attn_norm",
    .mlp_norm = "ffn_norm",
    .q = "attn_q",
    .k = "attn_k",
    .v = "attn_v",
    .output = "attn_output",
    .gate = "ffn_gate",
    .up = "ffn_up",
    .down = "ffn_down",
};

class Loader {
 public:
  Loader(const IngotFile& file, const Config& config)
      : file_(file), config_(config), names_(config.layout == Layout::kGguf ? kGgufNames : kHuggingFaceNames) {}

  Weights Load() const {
    Weights weights;
    weights.embedding = Need(Name(names_.embedding, "weight"), {config_.vocabulary, config_.width});
    if (weights.embedding.info().can_decode == 0) Refuse(weights.embedding, "cannot be decoded");
    for (uint64_t i = 0; i < config_.layers; ++i) weights.layers.push_back(LoadLayer(i));
    weights.norm = LoadVector(Name(names_.norm, "weight"), config_.width);
    // A head of its own wins over a tie, as in both libraries; without one the embedding is the head.
    const bool own = file_.Find(Name(names_.head, "weight")).has_value() || !config_.tied;
    weights.head = LoadLinear(own ? names_.head : names_.embedding, config_.vocabulary, config_.width, false);
    if (config_.layout == Layout::kGguf && file_.Find("rope_freqs.weight"))
      weights.rope_divisors = LoadVector("rope_freqs.weight", config_.head_dim / 2);
    return weights;
  }

 private:
  static std::string Name(std::string_view stem, std::string_view suffix) { return fmt::format("{}.{}", stem, suffix); }

  [[noreturn]] void Refuse(const Tensor& tensor, std::string_view what) const {
    const ingot_text encoding = tensor.info().encoding;
    Fail(kBadInput, "{}: tensor '{}' {}: its encoding is {}", file_.path(), tensor.name(), what,
         Printable({encoding.data, encoding.size}));
  }

  Tensor Need(const std::string& name, std::initializer_list<uint64_t> shape) const {
    auto tensor = file_.Find(name);
    if (!tensor) Fail(kBadInput, "{}: there is no tensor '{}'", file_.path(), name);
    if (!tensor->HasShape(shape))
      Fail(kBadInput, "{}: tensor '{}' has the shape {}, by {} it must be [{}]", file_.path(), name,
           tensor->ShapeText(), config_.source, fmt::join(shape, ", "));
    return std::move(*tensor);
  }

  std::vector<float> LoadVector(const std::string& name, uint64_t size) const {
    const Tensor tensor = Need(name, {size});
    if (tensor.info().can_decode == 0) Refuse(tensor, "cannot be decoded");
    return tensor.DecodeAll();
  }

  // A bias is used where there is one: GPTQ's tools write some for models whose configuration has none.
  Linear LoadLinear(const std::string& stem, uint64_t rows, uint64_t columns, bool needs_bias) const {
    Linear linear{Need(Name(stem, "weight"), {rows, columns}), {}};
    if (linear.weight.info().can_multiply == 0) Refuse(linear.weight, "cannot be multiplied");
    const std::string bias = Name(stem, "bias");
    if (needs_bias || file_.Find(bias)) linear.bias = LoadVector(bias, rows);
    return linear;
  }

  Layer LoadLayer(uint64_t number) const {
    const Config& c = config_;
    const auto name = [&](const char* inner) { return fmt::format("{}{}.{}", names_.layers, number, inner); };
    const uint64_t q_rows = c.heads * c.head_dim, kv_rows = c.kv_heads * c.head_dim;
    Layer layer;
    layer.attention_norm = LoadVector(Name(name(names_.attention_norm), "weight"), c.width);
    layer.q = LoadLinear(name(names_.q), q_rows, c.width, c.attention_bias);
    layer.k = LoadLinear(name(names_.k), kv_rows, c.width, c.attention_bias);
    layer.v = LoadLinear(name(names_.v), kv_rows, c.width, c.attention_bias);
    layer.output = LoadLinear(name(names_.output), c.width, q_rows, c.attention_bias);
    layer.mlp_norm = LoadVector(Name(name(names_.mlp_norm), "weight"), c.width);
    layer.gate = LoadLinear(name(names_.gate), c.inner, c.width, c.mlp_bias);
    layer.up = LoadLinear(name(names_.up), c.inner, c.width, c.mlp_bias);
    layer.down = LoadLinear(name(names_.down), c.width, c.inner, c.mlp_bias);
    return layer;
  }

  const IngotFile& file_;
  const Config& config_;
  const Names& names_;
};

}  // namespace

Weights LoadWeights(const IngotFile& file, const Config& config) { return Loader(file, config).Load(); }

}  // namespace llama

#include "convert/gguf/llama_checkpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "convert/gguf/gguf_tokenizer.h"
#include "convert/gguf/gguf_writer.h"
#include "convert/json_reader.h"
#include "format/text.h"

namespace ingot {

using Json = nlohmann::json;

namespace {

constexpr std::string_view kConfig = "config.json", kTokenizer = "tokenizer.json", kSettings = "tokenizer_config.json";
constexpr uint64_t kMaxVocabulary = uint64_t{1} << 24;

// An attachment as a document; null if there is none of that name.
Result<Json> ReadDocument(const Model& model, std::string_view name) {
  const Index& index = model.main().index();
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) {
    const AttachmentRecord attachment = index.attachment(i);
    if (attachment.name != name || attachment.plane == kNoRecord) continue;
    const auto bytes = model.main().ReadPlane(attachment.plane);
    if (!bytes) return Propagate(bytes);
    return ParseJson(AsText(*bytes), fmt::format("{}: {}", model.main().path(), name));
  }
  return Json();
}

// What a tensor inside a layer, or outside of one, is called: without ".weight" or ".bias".
struct Name {
  std::string_view from, to;
};
constexpr std::array<Name, 9> kLayerNames = {{{"self_attn.q_proj", "attn_q"},
                                              {"self_attn.k_proj", "attn_k"},
                                              {"self_attn.v_proj", "attn_v"},
                                              {"self_attn.o_proj", "attn_output"},
                                              {"mlp.gate_proj", "ffn_gate"},
                                              {"mlp.up_proj", "ffn_up"},
                                              {"mlp.down_proj", "ffn_down"},
                                              {"input_layernorm", "attn_norm"},
                                              {"post_attention_layernorm", "ffn_norm"}}};
constexpr std::array<Name, 3> kOuterNames = {
    {{"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"}}};
constexpr std::string_view kLayers = "model.layers.", kRotary = ".rotary_emb.inv_freq";

template <size_t n>
std::string_view Lookup(const std::array<Name, n>& names, std::string_view from) {
  for (const Name& name : names) {
    if (name.from == from) return name.to;
  }
  return {};
}

}  // namespace

// config.json, and what of it is not supported.
class LlamaConfig {
 public:
  LlamaConfig(const Json& config, std::string what) : config_(config), what_(std::move(what)) {}

  Status Fill(const std::string& name, LlamaCheckpoint& out) {
    out_ = &out;
    if (auto fits = CheckKind(); !fits) return fits;
    PutText("general.architecture", "llama");
    PutText("general.name", name);
    Put("general.quantization_version", GgufU32(2));
    uint64_t width = 0;
    if (auto put = PutSizes(width); !put) return put;
    return PutRope(width);
  }
  uint64_t vocab_size() const { return vocab_size_; }

 private:
  template <typename... Args>
  Status Refuse(fmt::format_string<Args...> text, Args&&... args) const {
    return Fail(ErrorCode::kBadInput, "{}: {}: {}", what_, kConfig, fmt::format(text, std::forward<Args>(args)...));
  }

  const Json& At(const Json& object, std::string_view key) const {
    static const Json kNull;
    if (!object.is_object()) return kNull;
    const auto at = object.find(key);
    return at == object.end() ? kNull : *at;
  }
  void Put(std::string_view key, MetadataValue value) { out_->metadata_.emplace_back(key, std::move(value)); }
  void PutText(std::string_view key, std::string_view text) { Put(key, MetadataValue::String(text)); }

  Status CheckKind() const {
    const Json& type = At(config_, "model_type");
    const std::string kind = type.is_string() ? type.get<std::string>() : "";
    if (kind != "llama" && kind != "mistral")
      return Refuse("model_type {} cannot be translated to GGUF; supported: llama, mistral", Quote(kind));
    const Json& activation = At(config_, "hidden_act");
    if (!activation.is_null() && activation != "silu") return Refuse("hidden_act is not silu");
    return {};
  }

  // A whole number from 1 to 2^32 - 1, or `otherwise` where there is none (0: it must be there).
  Status Size(std::string_view key, uint64_t otherwise, uint64_t& size) const {
    const Json& value = At(config_, key);
    if (value.is_null() && otherwise != 0) {
      size = otherwise;
      return {};
    }
    if (!value.is_number_unsigned() || value.get<uint64_t>() == 0 || value.get<uint64_t>() >> 32 != 0)
      return Refuse("{} is missing or not a whole number from 1 to 2^32 - 1", key);
    size = value.get<uint64_t>();
    return {};
  }

  static uint32_t U32(uint64_t value) { return static_cast<uint32_t>(value); }

  Status PutSizes(uint64_t& head_dim) {
    LlamaCheckpoint& o = *out_;
    uint64_t context = 0, width = 0, inner = 0;
    if (auto read = Size("num_hidden_layers", 0, o.layers_); !read) return read;
    if (auto read = Size("num_attention_heads", 0, o.heads_); !read) return read;
    if (auto read = Size("num_key_value_heads", o.heads_, o.kv_heads_); !read) return read;
    if (auto read = Size("hidden_size", 0, width); !read) return read;
    if (auto read = Size("intermediate_size", 0, inner); !read) return read;
    if (auto read = Size("max_position_embeddings", 2048, context); !read) return read;
    if (auto read = Size("vocab_size", 0, vocab_size_); !read) return read;
    if (auto read = Size("head_dim", std::max<uint64_t>(width / o.heads_, 1), head_dim); !read) return read;
    if (vocab_size_ > kMaxVocabulary) return Refuse("vocab_size {} is absurd", vocab_size_);
    const Json& epsilon = At(config_, "rms_norm_eps");
    if (!epsilon.is_null() && !epsilon.is_number()) return Refuse("rms_norm_eps is not a number");
    const Json& tied = At(config_, "tie_word_embeddings");
    o.tied_ = tied.is_boolean() && tied.get<bool>();
    Put("llama.context_length", GgufU32(U32(context)));
    Put("llama.embedding_length", GgufU32(U32(width)));
    Put("llama.block_count", GgufU32(U32(o.layers_)));
    Put("llama.feed_forward_length", GgufU32(U32(inner)));
    Put("llama.attention.head_count", GgufU32(U32(o.heads_)));
    Put("llama.attention.head_count_kv", GgufU32(U32(o.kv_heads_)));
    if (!At(config_, "head_dim").is_null()) {
      Put("llama.attention.key_length", GgufU32(U32(head_dim)));
      Put("llama.attention.value_length", GgufU32(U32(head_dim)));
    }
    Put("llama.attention.layer_norm_rms_epsilon", GgufF32(epsilon.is_null() ? 1e-6f : epsilon.get<float>()));
    Put("llama.rope.dimension_count", GgufU32(U32(head_dim)));
    Put("llama.vocab_size", GgufU32(U32(vocab_size_)));
    return {};
  }

  // A number of the rotary embedding's parameters.
  Status Number(const Json& object, std::string_view key, std::optional<double> otherwise, double& number) const {
    const Json& value = At(object, key);
    if (value.is_null() && otherwise) {
      number = *otherwise;
      return {};
    }
    if (!value.is_number() || !(value.get<double>() > 0)) return Refuse("{} of rope is missing or not above 0", key);
    number = value.get<double>();
    return {};
  }

  Status PutRope(uint64_t head_dim) {
    const Json& newer = At(config_, "rope_parameters");
    const Json& rope = newer.is_object() ? newer : At(config_, "rope_scaling");
    double base = 0;
    if (auto read = Number(config_, "rope_theta", 10000.0, base); !read) return read;
    if (auto read = Number(rope, "rope_theta", base, base); !read) return read;
    Put("llama.rope.freq_base", GgufF32(static_cast<float>(base)));
    const Json& named = At(rope, "rope_type").is_string() ? At(rope, "rope_type") : At(rope, "type");
    const std::string type = named.is_string() ? named.get<std::string>() : "default";
    if (type == "default") return {};
    if (type == "llama3") return FillRopeFactors(rope, static_cast<float>(base), head_dim);
    if (type != "linear" && type != "yarn")
      return Refuse("rope scaling of type {}; supported: linear, yarn, llama3", Quote(type));
    double factor = 0, context = 0;
    if (auto read = Number(rope, "factor", {}, factor); !read) return read;
    PutText("llama.rope.scaling.type", type);
    Put("llama.rope.scaling.factor", GgufF32(static_cast<float>(factor)));
    if (type == "linear") return {};
    for (std::string_view key : {"attention_factor", "mscale", "mscale_all_dim", "beta_fast", "beta_slow"}) {
      if (!At(rope, key).is_null()) return Refuse("rope scaling of type yarn with {} is not supported", key);
    }
    if (auto read = Number(rope, "original_max_position_embeddings", {}, context); !read) return read;
    Put("llama.rope.scaling.original_context_length", GgufU32(U32(static_cast<uint64_t>(std::min(context, 4e9)))));
    return {};
  }

  // By what the frequencies of Llama 3 are divided: long waves by the factor, short ones by nothing, others in between.
  Status FillRopeFactors(const Json& rope, float base, uint64_t head_dim) {
    double factor = 0, low = 0, high = 0, context = 0;
    if (auto read = Number(rope, "factor", 8.0, factor); !read) return read;
    if (auto read = Number(rope, "low_freq_factor", 1.0, low); !read) return read;
    if (auto read = Number(rope, "high_freq_factor", 4.0, high); !read) return read;
    if (auto read = Number(rope, "original_max_position_embeddings", 8192.0, context); !read) return read;
    if (low == high || head_dim > 65536) return Refuse("rope scaling of type llama3 with equal factors, or huge heads");
    for (uint64_t i = 0; i < head_dim; i += 2) {
      const float frequency = 1.0f / std::pow(base, static_cast<float>(i) / static_cast<float>(head_dim));
      const double wave = 2 * M_PI / static_cast<double>(frequency);
      double by = 1;
      if (wave > context / low) {
        by = factor;
      } else if (wave >= context / high) {
        const double smooth = (context / wave - low) / (high - low);
        by = 1 / ((1 - smooth) / factor + smooth);
      }
      out_->rope_factors_.push_back(static_cast<float>(by));
    }
    return {};
  }

  const Json& config_;
  std::string what_;
  LlamaCheckpoint* out_ = nullptr;
  uint64_t vocab_size_ = 0;
};

Result<std::optional<LlamaCheckpoint>> LlamaCheckpoint::Read(const Model& model, const std::string& name) {
  const std::string& path = model.main().path();
  const auto config = ReadDocument(model, kConfig), tokenizer = ReadDocument(model, kTokenizer),
             settings = ReadDocument(model, kSettings);
  for (const auto* document : {&config, &tokenizer, &settings}) {
    if (!*document) return Propagate(*document);
  }
  if (config->is_null()) return std::nullopt;
  LlamaCheckpoint checkpoint;
  LlamaConfig reader(*config, path);
  if (auto filled = reader.Fill(name, checkpoint); !filled) return Propagate(filled);
  if (tokenizer->is_null())
    return Fail(ErrorCode::kBadInput, "{}: there is no {} among the attachments, which GGUF needs", path, kTokenizer);
  if (auto added = AddGgufTokenizer(*tokenizer, *settings, *config, reader.vocab_size(), path, checkpoint.metadata_);
      !added)
    return Propagate(added);
  return checkpoint;
}

Result<std::optional<LlamaCheckpoint::Target>> LlamaCheckpoint::Translate(const Model& model, uint32_t number) const {
  const TensorRecord record = model.tensor(number);
  const auto refuse = [&](std::string_view reason) {
    return Fail(ErrorCode::kBadInput, "{}: tensor {}: {}", model.container_of(number).path(), Quote(record.name),
                reason);
  };
  if (record.name.ends_with(kRotary)) return std::nullopt;
  const size_t dot = record.name.rfind('.');
  const std::string_view suffix = dot == std::string_view::npos ? "" : record.name.substr(dot);
  std::string_view stem = record.name.substr(0, dot);
  if (suffix != ".weight" && suffix != ".bias") return refuse("not a tensor of a llama model that is known");
  if (const std::string_view outer = Lookup(kOuterNames, stem); !outer.empty()) {
    // A head that is the embedding is left out: readers of the format take that instead.
    const auto embedding = model.Find("model.embed_tokens.weight");
    const bool same = outer == "output" && embedding && model.tensor(*embedding).first_part == record.first_part &&
                      model.id(*embedding).container == model.id(number).container;
    if (outer == "output" && (tied_ || same)) return std::nullopt;
    return Target{std::string(outer).append(suffix)};
  }
  uint64_t layer = 0;
  if (!stem.starts_with(kLayers)) return refuse("not a tensor of a llama model that is known");
  stem.remove_prefix(kLayers.size());
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), layer);
  stem.remove_prefix(static_cast<size_t>(end - stem.data()));
  const std::string_view inner = stem.starts_with('.') ? Lookup(kLayerNames, stem.substr(1)) : "";
  if (error != std::errc() || layer >= layers_ || inner.empty())
    return refuse("not a tensor of a llama model that is known");
  Target target{fmt::format("blk.{}.{}{}", layer, inner, suffix)};
  if (inner != "attn_q" && inner != "attn_k") return target;
  const uint64_t heads = inner == "attn_q" ? heads_ : kv_heads_;
  if (record.rank == 0 || record.rank > 2 || record.dim(0) == 0 || record.dim(0) % (2 * heads) != 0)
    return refuse(fmt::format("its rows are not an even number for each of {} heads", heads));
  target.head_rows = record.dim(0) / heads;
  return target;
}

}  // namespace ingot

// The config.json of a Hugging Face checkpoint, read as the transformers library reads it.
#include <nlohmann/json.hpp>
#include <set>

#include "tools/llama/config.h"
#include "tools/llama/failure.h"

namespace llama {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxSize = uint64_t{1} << 32;
constexpr size_t kMaxDepth = 64;

class Reader {
 public:
  Reader(const IngotFile& file, const std::string& text) : path_(file.path()) {
    // Where a key stands twice, readers differ in which one counts; the parser is told of every key, so it can tell.
    std::vector<std::set<std::string>> keys;
    const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
      if (static_cast<size_t>(depth) > kMaxDepth) Refuse("nested deeper than {} levels", kMaxDepth);
      if (event == Json::parse_event_t::object_start) keys.emplace_back();
      if (event == Json::parse_event_t::object_end) keys.pop_back();
      if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
        Refuse("the key '{}' stands twice", Printable(parsed.get<std::string>()));
      return true;
    };
    try {
      config_ = Json::parse(text, watch);
    } catch (const Json::exception& error) {
      Refuse("{}", Printable(error.what()));
    }
    if (!config_.is_object()) Refuse("not an object");
  }

  Config Read() {
    Config c;
    CheckKind(c);
    c.vocabulary = Size("vocab_size");
    c.width = Size("hidden_size");
    c.inner = Size("intermediate_size");
    c.layers = Size("num_hidden_layers");
    c.heads = Size("num_attention_heads");
    c.kv_heads = Size("num_key_value_heads", c.heads);
    if (At(config_, "head_dim").is_null() && c.width % c.heads != 0)
      Refuse("hidden_size {} is not a multiple of num_attention_heads {}, and there is no head_dim", c.width, c.heads);
    c.head_dim = Size("head_dim", c.width / c.heads);
    c.context = Size("max_position_embeddings", 2048);
    c.epsilon = static_cast<float>(Number(config_, "rms_norm_eps", 1e-6));
    c.tied = Flag("tie_word_embeddings");
    c.attention_bias = Flag("attention_bias");
    c.mlp_bias = Flag("mlp_bias");
    ReadRope(c);
    return c;
  }

 private:
  template <typename... Args>
  [[noreturn]] void Refuse(fmt::format_string<Args...> text, Args&&... args) const {
    Fail(kBadInput, "{}: config.json: {}", path_, fmt::format(text, std::forward<Args>(args)...));
  }

  // The value of a key; null where there is none.
  static const Json& At(const Json& object, const char* key) {
    static const Json kNull;
    if (!object.is_object()) return kNull;
    const auto at = object.find(key);
    return at == object.end() ? kNull : *at;
  }

  // `otherwise` 0: there must be one.
  uint64_t Size(const char* key, uint64_t otherwise = 0) const {
    const Json& value = At(config_, key);
    if (value.is_null() && otherwise != 0) return otherwise;
    if (value.is_null()) Refuse("{} is missing", key);
    const uint64_t size = value.is_number_unsigned() ? value.get<uint64_t>() : 0;
    if (size == 0 || size >= kMaxSize) Refuse("{} is {}, must be a whole number from 1 to 2^32 - 1", key, value.dump());
    return size;
  }

  double Number(const Json& object, const char* key, std::optional<double> otherwise = {}) const {
    const Json& value = At(object, key);
    if (value.is_null() && otherwise) return *otherwise;
    if (value.is_null()) Refuse("{} is missing", key);
    const double number = value.is_number() ? value.get<double>() : -1;
    if (!(number > 0 && number < 1e30)) Refuse("{} must be a number above 0", key);
    return number;
  }

  bool Flag(const char* key, const Json* object = nullptr, bool otherwise = false) const {
    const Json& value = At(object != nullptr ? *object : config_, key);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean()) Refuse("{} must be true or false", key);
    return value.get<bool>();
  }

  std::string Text(const Json& value) const { return value.is_string() ? value.get<std::string>() : std::string(); }

  // Mistral is Llama with a window over the tokens; other families differ in ways that have to be known.
  void CheckKind(Config& c) const {
    const std::string kind = Text(At(config_, "model_type"));
    if (kind != "llama" && kind != "mistral") Refuse("model_type is '{}'; supported: llama, mistral", Printable(kind));
    const std::string activation = Text(At(config_, "hidden_act"));
    if (!At(config_, "hidden_act").is_null() && activation != "silu" && activation != "swish")
      Refuse("hidden_act is '{}'; supported: silu", Printable(activation));
    if (Number(config_, "partial_rotary_factor", 1.0) != 1) Refuse("partial_rotary_factor is not supported");
    if (kind != "mistral") return;
    const bool absent = config_.find("sliding_window") == config_.end();
    if (absent || !At(config_, "sliding_window").is_null()) c.window = Size("sliding_window", 4096);
  }

  void ReadRope(Config& c) const {
    const Json& older = At(config_, "rope_scaling");
    const Json& rope = older.is_object() && !older.empty() ? older : At(config_, "rope_parameters");
    RopeConfig& r = c.rope;
    r.theta = Number(rope, "rope_theta", Number(config_, "rope_theta", 10000.0));
    if (!rope.is_object()) return;
    if (Number(rope, "partial_rotary_factor", 1.0) != 1) Refuse("partial_rotary_factor is not supported");
    const Json& type = At(rope, "rope_type").is_null() ? At(rope, "type") : At(rope, "rope_type");
    if (!type.is_null()) r.type = Text(type);
    if (r.type == "default") return;
    if (r.type != "linear" && r.type != "llama3" && r.type != "yarn")
      Refuse("rope scaling of type '{}'; supported: default, linear, llama3, yarn", Printable(r.type));
    r.factor = Number(rope, "factor");
    if (r.type == "linear") return;
    r.original_context = Number(config_, "original_max_position_embeddings",
                                Number(rope, "original_max_position_embeddings", static_cast<double>(c.context)));
    if (r.type == "llama3") {
      r.low_freq_factor = Number(rope, "low_freq_factor");
      r.high_freq_factor = Number(rope, "high_freq_factor");
      if (r.high_freq_factor <= r.low_freq_factor) Refuse("high_freq_factor must be above low_freq_factor");
      return;
    }
    ReadYarn(rope, r);
  }

  void ReadYarn(const Json& rope, RopeConfig& r) const {
    r.beta_fast = Number(rope, "beta_fast", 32.0);
    r.beta_slow = Number(rope, "beta_slow", 1.0);
    r.truncate = Flag("truncate", &rope, true);
    const bool both = !At(rope, "mscale").is_null() && !At(rope, "mscale_all_dim").is_null();
    const double inferred = both ? YarnAttentionFactor(r.factor, Number(rope, "mscale")) /
                                       YarnAttentionFactor(r.factor, Number(rope, "mscale_all_dim"))
                                 : YarnAttentionFactor(r.factor);
    r.attention_factor = Number(rope, "attention_factor", inferred);
  }

  std::string path_;
  Json config_;
};

}  // namespace

Config ReadHuggingFaceConfig(const IngotFile& file, const std::string& text) { return Reader(file, text).Read(); }

}  // namespace llama

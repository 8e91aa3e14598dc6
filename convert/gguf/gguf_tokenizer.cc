#include "convert/gguf/gguf_tokenizer.h"

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "convert/gguf/gguf_writer.h"
#include "format/text.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// GGUF's numbers for kinds of tokens.
enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

constexpr std::string_view kSpace = "\xE2\x96\x81";       // U+2581, SentencePiece's space
constexpr std::string_view kByteLevelSpace = "\xC4\xA0";  // U+0120, the space of byte-level BPE
constexpr std::string_view kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// A member of an object; null if it is none, or has no such member.
const Json& At(const Json& object, std::string_view key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto at = object.find(key);
  return at == object.end() ? kNull : *at;
}

std::string TextAt(const Json& object, std::string_view key) {
  const Json& value = At(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

bool IsTrue(const Json& object, std::string_view key) {
  const Json& value = At(object, key);
  return value.is_boolean() && value.get<bool>();
}

// The steps of a normalizer or pre-tokenizer: those of a sequence, or itself.
std::vector<Json> StepsOf(const Json& step, std::string_view members) {
  if (step.is_null()) return {};
  const Json& parts = At(step, members);
  if (TextAt(step, "type") != "Sequence" || !parts.is_array()) return {step};
  return {parts.begin(), parts.end()};
}

class Tokenizer {
 public:
  Tokenizer(const Json& tokenizer, const Json& settings, const Json& config, const std::string& what,
            SourceMetadata& metadata)
      : tokenizer_(tokenizer),
        model_(At(tokenizer, "model")),
        settings_(settings),
        config_(config),
        what_(what),
        metadata_(metadata) {}

  Status Add(uint64_t vocab_size) {
    const std::string type = TextAt(model_, "type");
    if (type != "BPE" || !At(model_, "vocab").is_object() || !At(model_, "merges").is_array())
      return Refuse("the model is {}; supported: BPE", Quote(type));
    for (std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!TextAt(model_, key).empty()) return Refuse("{} is not supported", key);
    }
    if (auto tokens = ReadTokens(vocab_size); !tokens) return tokens;
    const bool bytes = IsTrue(model_, "byte_fallback");
    if (auto added = bytes ? AddSentencePiece() : AddByteLevel(); !added) return added;
    Put("tokens", GgufStrings(tokens_));
    Put("token_type", GgufI32s(types_));
    AddSpecial("bos", "bos_token");
    AddSpecial("eos", "eos_token");
    AddSpecial("unknown", "unk_token");
    AddSpecial("padding", "pad_token");
    AddBosAndEos(bytes);
    const std::string chat = TextAt(settings_, "chat_template");
    if (!chat.empty()) metadata_.emplace_back("tokenizer.chat_template", MetadataValue::String(chat));
    return {};
  }

 private:
  template <typename... Args>
  Status Refuse(fmt::format_string<Args...> text, Args&&... args) const {
    return Fail(ErrorCode::kBadInput, "{}: tokenizer.json: {}", what_, fmt::format(text, std::forward<Args>(args)...));
  }

  void Put(std::string_view key, MetadataValue value) {
    metadata_.emplace_back(fmt::format("tokenizer.ggml.{}", key), std::move(value));
  }

  Status ReadTokens(uint64_t vocab_size) {
    // As other writers of the format name what has no token.
    for (uint64_t i = 0; i < vocab_size; ++i) tokens_.push_back(fmt::format("[PAD{}]", i));
    types_.assign(vocab_size, kUnused);
    const auto put = [&](const std::string& token, const Json& id, TokenType type) -> Status {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab_size)
        return Refuse("token {} has no number below {}, the size of the vocabulary", Quote(token), vocab_size);
      const auto number = id.get<uint64_t>();
      tokens_[number] = token;
      types_[number] = type;
      ids_[token] = static_cast<uint32_t>(number);
      return {};
    };
    const std::string unknown = TextAt(model_, "unk_token");
    const bool bytes = IsTrue(model_, "byte_fallback");
    for (const auto& [token, id] : At(model_, "vocab").items()) {
      const bool is_byte = bytes && token.size() == 6 && token.starts_with("<0x") && token.back() == '>';
      const TokenType type = is_byte ? kByte : !unknown.empty() && token == unknown ? kUnknown : kNormal;
      if (auto done = put(token, id, type); !done) return done;
    }
    const Json& added = At(tokenizer_, "added_tokens");
    if (!added.is_array()) return {};
    for (const Json& entry : added) {
      const std::string token = TextAt(entry, "content");
      const TokenType type = !unknown.empty() && token == unknown ? kUnknown
                             : IsTrue(entry, "special")           ? kControl
                                                                  : kUserDefined;
      if (auto done = put(token, At(entry, "id"), type); !done) return done;
    }
    return {};
  }

  // The two halves of a merge, which newer files store as a pair.
  static std::optional<std::pair<std::string, std::string>> MergeOf(const Json& merge) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const size_t space = text.find(' ');
    if (space == std::string::npos || space == 0) return std::nullopt;
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }

  Status AddByteLevel() {
    std::string pre;
    if (auto found = FindPreTokenizer(pre); !found) return found;
    std::vector<std::string> merges;
    for (const Json& merge : At(model_, "merges")) {
      auto pair = MergeOf(merge);
      if (!pair) return Refuse("merge {} is not a pair", merges.size());
      for (std::string* half : {&pair->first, &pair->second}) {
        for (size_t at = 0; (at = half->find(' ', at)) != std::string::npos;) half->replace(at, 1, kByteLevelSpace);
      }
      merges.push_back(pair->first + " " + pair->second);
    }
    Put("model", MetadataValue::String("gpt2"));
    Put("pre", MetadataValue::String(pre));
    Put("merges", GgufStrings(merges));
    return {};
  }

  // The name that GGUF's readers know a pre-tokenizer by.
  Status FindPreTokenizer(std::string& name) const {
    if (!At(tokenizer_, "normalizer").is_null())
      return Refuse("a normalizer {} with byte-level BPE; supported: none",
                    Quote(TextAt(At(tokenizer_, "normalizer"), "type")));
    std::string regex;
    bool byte_level = false, own_regex = false;
    for (const Json& step : StepsOf(At(tokenizer_, "pre_tokenizer"), "pretokenizers")) {
      const std::string type = TextAt(step, "type");
      if (type == "ByteLevel" && !IsTrue(step, "add_prefix_space") && !byte_level) {
        byte_level = true;
        own_regex = IsTrue(step, "use_regex") || !At(step, "use_regex").is_boolean();  // true by default
      } else if (type == "Split" && regex.empty() && !byte_level) {
        regex = TextAt(At(step, "pattern"), "Regex");
        if (regex.empty() || TextAt(step, "behavior") != "Isolated" || IsTrue(step, "invert"))
          return Refuse("a Split other than an isolating one by a regular expression is not supported");
      } else {
        return Refuse("pre-tokenizer {}: not supported in its place, or with add_prefix_space", Quote(type));
      }
    }
    if (byte_level && own_regex && regex.empty()) name = "gpt-2";
    if (byte_level && !own_regex && regex == kLlama3Regex) name = "llama-bpe";
    // Readers look whole words up in the vocabulary first for Llama 3 only.
    if (name == "gpt-2" && IsTrue(model_, "ignore_merges"))
      return Refuse("ignore_merges with the pre-tokenizer of GPT-2 is not supported");
    if (!name.empty()) return {};
    return Refuse("the pre-tokenizer's expression {} is not known; supported: those of GPT-2 and Llama 3",
                  Quote(regex));
  }

  // Readers merge the pair whose token has the highest score: that of the earliest merge.
  Status AddSentencePiece() {
    bool prefix = false;
    if (auto found = FindPrefix(prefix); !found) return found;
    const Json& merges = At(model_, "merges");
    std::vector<float> scores(tokens_.size(), -static_cast<float>(merges.size() + 1));
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (types_[i] != kNormal) scores[i] = 0;
    }
    for (size_t i = merges.size(); i-- > 0;) {
      const auto pair = MergeOf(merges[i]);
      const auto token = pair ? ids_.find(pair->first + pair->second) : ids_.end();
      if (token == ids_.end()) return Refuse("merge {} does not give a token", i);
      scores[token->second] = -static_cast<float>(i);
    }
    Put("model", MetadataValue::String("llama"));
    Put("pre", MetadataValue::String("default"));
    Put("scores", GgufF32s(scores));
    Put("add_space_prefix", MetadataValue::Bool(prefix));
    return {};
  }

  // Whether a space is put before the text. All that may happen to it is that, and spaces becoming U+2581.
  Status FindPrefix(bool& prefix) const {
    for (const Json& step : StepsOf(At(tokenizer_, "normalizer"), "normalizers")) {
      const std::string type = TextAt(step, "type");
      const bool replaces =
          type == "Replace" && TextAt(At(step, "pattern"), "String") == " " && TextAt(step, "content") == kSpace;
      const bool prepends = type == "Prepend" && TextAt(step, "prepend") == kSpace;
      if (!replaces && !prepends) return Refuse("normalizer {}: not supported", Quote(type));
      prefix = prefix || prepends;
    }
    for (const Json& step : StepsOf(At(tokenizer_, "pre_tokenizer"), "pretokenizers")) {
      const std::string type = TextAt(step, "type");
      if (type != "Metaspace" || IsTrue(step, "split")) return Refuse("pre-tokenizer {}: not supported", Quote(type));
      const std::string scheme = TextAt(step, "prepend_scheme");
      prefix = prefix || (scheme.empty() ? IsTrue(step, "add_prefix_space") : scheme != "never");
    }
    return {};
  }

  // The number of a special token: by its text in tokenizer_config.json, else by its number in config.json.
  std::optional<uint32_t> SpecialId(const std::string& key) const {
    const Json& token = At(settings_, key);
    const std::string text = token.is_string() ? token.get<std::string>() : TextAt(token, "content");
    if (const auto id = ids_.find(text); id != ids_.end()) return id->second;
    const Json* number = &At(config_, key + "_id");
    if (number->is_array() && !number->empty()) number = &number->front();
    if (!number->is_number_unsigned() || number->get<uint64_t>() >= tokens_.size()) return std::nullopt;
    return number->get<uint32_t>();
  }

  void AddSpecial(const std::string& name, const std::string& key) {
    if (const auto id = SpecialId(key)) Put(name + "_token_id", GgufU32(*id));
  }

  // Whether bos is put before a text and eos after it: as tokenizer_config.json says, else as the template does.
  void AddBosAndEos(bool sentence_piece) {
    const Json& processor = At(tokenizer_, "post_processor");
    std::optional<bool> bos, eos;
    for (const Json& step : StepsOf(processor, "processors")) {
      const Json& single = At(step, "single");
      if (!single.is_array() || single.empty()) continue;
      bos = single.front().contains("SpecialToken");
      eos = single.back().contains("SpecialToken");
    }
    if (!bos && !sentence_piece) bos = false;
    for (auto& [key, value] : {std::pair("add_bos_token", &bos), std::pair("add_eos_token", &eos)}) {
      if (At(settings_, key).is_boolean()) *value = At(settings_, key).get<bool>();
      if (*value) Put(key, MetadataValue::Bool(**value));
    }
  }

  const Json &tokenizer_, &model_, &settings_, &config_;
  const std::string& what_;
  SourceMetadata& metadata_;
  std::vector<std::string> tokens_;
  std::vector<int32_t> types_;
  std::map<std::string, uint32_t> ids_;
};

}  // namespace

Status AddGgufTokenizer(const Json& tokenizer, const Json& settings, const Json& config, uint64_t vocab_size,
                        const std::string& what, SourceMetadata& metadata) {
  return Tokenizer(tokenizer, settings, config, what, metadata).Add(vocab_size);
}

}  // namespace ingot

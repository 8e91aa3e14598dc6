#include "convert/json_reader.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <memory>
#include <memory_resource>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "format/text.h"

namespace ingot {
namespace {

// The text, one block in memory at a time.
class Blocks {
 public:
  Blocks(const ByteSource& source, uint64_t offset, uint64_t length)
      : source_(source), offset_(offset), left_(length), buffer_(std::min(length, kBlock)) {}

  bool AtEnd() { return at_ == end_ && !Refill(); }
  char current() const { return *at_; }
  void Advance() { ++at_; }
  uint64_t consumed() const { return loaded_ - static_cast<uint64_t>(end_ - at_); }
  const std::optional<Error>& error() const { return error_; }

 private:
  static constexpr uint64_t kBlock = 64 << 10;

  bool Refill() {
    if (left_ == 0 || error_) return false;
    const auto out = std::span(buffer_).first(std::min<uint64_t>(left_, buffer_.size()));
    if (auto read = source_.read(offset_, std::as_writable_bytes(out)); !read) {
      error_ = read.error();
      return false;
    }
    // The parser takes a NUL for the end of the text and would not look at what follows. 0xFF is in no UTF-8 text: it
    // is an error for the parser wherever it stands.
    std::replace(out.begin(), out.end(), '\0', '\xFF');
    offset_ += out.size(), left_ -= out.size(), loaded_ += out.size();
    at_ = out.data();
    end_ = out.data() + out.size();
    return true;
  }

  const ByteSource& source_;
  uint64_t offset_, left_, loaded_ = 0;
  std::vector<char> buffer_;
  const char *at_ = nullptr, *end_ = nullptr;
  std::optional<Error> error_;
};

// What nlohmann-json pulls characters from; the default-constructed one is the end.
class BlockIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  BlockIterator() = default;
  explicit BlockIterator(Blocks& blocks) : blocks_(&blocks) {}
  char operator*() const { return blocks_->current(); }
  BlockIterator& operator++() {
    blocks_->Advance();
    return *this;
  }
  // Only ever compared with the end, for every byte: so that is all this does.
  friend bool operator!=(const BlockIterator& a, const BlockIterator&) { return !a.blocks_->AtEnd(); }

 private:
  Blocks* blocks_ = nullptr;
};

// The keys of the objects that are open, innermost last. Most objects have a few keys, compared one by one; larger ones
// go into an ordered set, which no choice of keys can slow down as it could a hash table.
class OpenKeys {
 public:
  void Open() { frames_.push_back({used_, nullptr}); }

  void Close() {
    held_ -= used_ - frames_.back().begin + (frames_.back().many ? frames_.back().many->keys.size() : 0);
    used_ = frames_.back().begin;
    frames_.pop_back();
  }

  // False if the innermost object has the key already.
  bool Add(const std::string& key) {
    Frame& frame = frames_.back();
    const auto first = few_.begin() + static_cast<std::ptrdiff_t>(frame.begin);
    const auto last = few_.begin() + static_cast<std::ptrdiff_t>(used_);
    if (std::find(first, last, key) != last) return false;
    ++held_;
    if (used_ - frame.begin >= kFew) {
      if (!frame.many) frame.many = std::make_unique<Many>();
      return frame.many->keys.emplace(key).second;
    }
    if (used_ == few_.size()) few_.emplace_back();
    few_[used_++] = key;
    return true;
  }

  uint64_t held() const { return held_; }

 private:
  static constexpr size_t kFew = 8;
  struct Many {
    std::pmr::monotonic_buffer_resource memory;
    std::pmr::set<std::pmr::string> keys{&memory};
  };
  struct Frame {
    size_t begin;  // of its keys in few_
    std::unique_ptr<Many> many;
  };
  std::vector<std::string> few_;  // never shrinks: the strings keep their memory for the next object
  size_t used_ = 0;
  uint64_t held_ = 0;
  std::vector<Frame> frames_;
};

// "parse error at line 1, column 5: syntax error ..." without the parts that name neither file nor byte.
std::string Trim(std::string_view text) {
  if (const size_t end = text.find("] "); text.starts_with('[') && end != std::string_view::npos) {
    text.remove_prefix(end + 2);
  }
  if (const size_t end = text.find(": "); text.starts_with("parse error") && end != std::string_view::npos) {
    text.remove_prefix(end + 2);
  }
  return Escape(text, 300);
}

// Between the parser's events and a JsonHandler's.
class Events {
 public:
  Events(const Blocks& blocks, JsonHandler& handler) : blocks_(blocks), handler_(handler) {}

  // The names that nlohmann-json calls.
  bool null() { return Value(nullptr); }
  bool boolean(bool value) { return Value(value); }
  bool number_integer(int64_t value) { return Value(value); }
  bool number_unsigned(uint64_t value) { return Value(value); }
  bool number_float(double value, const std::string&) { return Value(value); }
  // Copied, not moved: the parser collects the next text in the same memory.
  bool string(std::string& value) { return Value<const std::string&>(value); }
  bool binary(nlohmann::json::binary_t&) { return false; }  // not in JSON texts

  bool start_object(size_t) {
    if (!Deeper()) return false;
    keys_.Open();
    return Pass(handler_.StartObject());
  }
  bool end_object() {
    --depth_;
    keys_.Close();
    return Pass(handler_.EndObject());
  }
  bool start_array(size_t) { return Deeper() && Pass(handler_.StartArray()); }
  bool end_array() {
    --depth_;
    return Pass(handler_.EndArray());
  }
  bool key(std::string& key) {
    if (!keys_.Add(key)) {
      return Pass(Fail(ErrorCode::kBadInput, "key {} stands twice in one object", Quote(key)));
    }
    if (keys_.held() > kMaxJsonKeys) return Pass(Fail(ErrorCode::kBadInput, "more than {} keys", kMaxJsonKeys));
    key_ = key;
    return Pass(handler_.Key(key_));
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& exception) {
    error_ = Error{ErrorCode::kBadInput, "not JSON: " + Trim(exception.what())};
    position_ = position;
    return false;
  }

  const std::optional<Error>& error() const { return error_; }
  uint64_t position() const { return position_; }  // of the error: characters read

 private:
  template <typename T>
  bool Value(T value) {
    JsonValue wrapped(std::forward<T>(value));
    return Pass(handler_.Value(wrapped));
  }

  bool Deeper() {
    if (++depth_ <= kMaxJsonDepth) return true;
    return Pass(Fail(ErrorCode::kBadInput, "nested deeper than {} levels", kMaxJsonDepth));
  }

  bool Pass(const Status& status) {
    if (status) return true;
    error_ = status.error();
    position_ = blocks_.consumed();
    return false;
  }

  const Blocks& blocks_;
  JsonHandler& handler_;
  OpenKeys keys_;
  std::string key_;
  int depth_ = 0;
  std::optional<Error> error_;
  uint64_t position_ = 0;
};

// Builds a document.
class Builder final : public JsonHandler {
 public:
  Status StartObject() override { return Open(nlohmann::json::object()); }
  Status EndObject() override { return Close(); }
  Status StartArray() override { return Open(nlohmann::json::array()); }
  Status EndArray() override { return Close(); }
  Status Key(std::string& key) override {
    key_ = std::move(key);
    return {};
  }
  Status Value(JsonValue& value) override {
    std::visit([this](auto& held) { Add(std::move(held)); }, value);
    return {};
  }
  nlohmann::json&& root() { return std::move(root_); }

 private:
  nlohmann::json* Add(nlohmann::json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    nlohmann::json& parent = *open_.back();
    if (parent.is_object()) return &(parent[std::move(key_)] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }
  Status Open(nlohmann::json container) {
    open_.push_back(Add(std::move(container)));
    return {};
  }
  Status Close() {
    open_.pop_back();
    return {};
  }

  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  // a container does not move while it is open: only the innermost grows
  std::string key_;
};

}  // namespace

std::string Describe(const JsonValue& value) {
  struct Visitor {
    std::string operator()(std::nullptr_t) const { return "null"; }
    std::string operator()(bool b) const { return b ? "true" : "false"; }
    std::string operator()(uint64_t n) const { return fmt::format("{}", n); }
    std::string operator()(int64_t n) const { return n == 0 ? "-0" : fmt::format("{}", n); }
    std::string operator()(double d) const { return fmt::format("{}", d); }
    std::string operator()(const std::string& s) const { return "the text " + Quote(s); }
  };
  return std::visit(Visitor{}, value);
}

Result<uint64_t> AsSize(const JsonValue& value) {
  if (const auto* number = std::get_if<uint64_t>(&value)) return *number;
  return Fail(ErrorCode::kBadInput, "is {}, must be a whole number of 0 or more", Describe(value));
}

Status ReadJson(const ByteSource& source, uint64_t offset, uint64_t length, const std::string& what,
                JsonHandler& handler) {
  try {
    Blocks blocks(source, offset, length);
    Events events(blocks, handler);
    const bool whole = nlohmann::json::sax_parse(BlockIterator(blocks), BlockIterator(), &events);
    if (blocks.error()) return tl::unexpected<Error>(*blocks.error());
    if (whole) return {};
    if (!events.error()) return Fail(ErrorCode::kBadInput, "{}: not JSON", what);
    const uint64_t position = offset + std::max<uint64_t>(events.position(), 1) - 1;
    return Fail(events.error()->code, "{}: byte {}: {}", what, position, events.error()->message);
  } catch (const std::exception& exception) {
    return Fail(ErrorCode::kBadInput, "{}: cannot be read as JSON: {}", what, exception.what());
  }
}

Result<nlohmann::json> ParseJson(std::string_view text, const std::string& what) {
  Builder builder;
  if (auto read = ReadJson(SourceOf(AsBytes(text)), 0, text.size(), what, builder); !read) return Propagate(read);
  return builder.root();
}

}  // namespace ingot
